"""Runs of gatecrash: their command lines, their results, and the ones that are run again because they were invalid."""

import dataclasses
import json
import pathlib
import subprocess
import tempfile

from harness.programs import ENVIRONMENT, GATECRASH, fail

# gatecrash exits with this when the machine was too busy to measure on; what it says of the server may still be used.
INVALID = 97
TRIES_MAX = 4

MINTED = (
    *("--token-source", "mint", "--secret", "env:SECRET", "--claims", '{"user":{"username":"gonzalo"}}'),
    *("--token-ttl", "1h"),
)
MINTED_PER_USER = ("--token-source", "mint", "--token-per", "user", "--user", "gonzalo:-", "--secret", "env:SECRET")
# One shard, whose processor the caller chooses.
ONE_SHARD = ("--workers", "1", "--pin", "none")
CLOSED_AT_ONCE = ("--hold", "0s", "--auth-grace", "0s")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has ended with a result."""

    exit_code: int
    result: dict
    output: str


def command(target: str, out, *flags: object, program: pathlib.Path = GATECRASH) -> list[str]:
    """The command of a run that writes its result to the folder `out`."""
    return [*map(str, (program, "run", "--no-tui", "--target", target, "--out", out, *flags))]


def run(target: str, *flags: object, prefix: tuple[str, ...] = ()) -> Run:
    """One run to its end, valid or not; any other exit code is a failure."""
    with tempfile.TemporaryDirectory() as out:
        ended = subprocess.run(
            [*prefix, *command(target, out, "--quiet", *flags)],
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        output = ended.stdout + ended.stderr
        if ended.returncode not in (0, INVALID):
            fail(f"gatecrash exited with {ended.returncode}\n{output}")
        return Run(ended.returncode, json.loads(pathlib.Path(out, "result.json").read_text()), output)


def valid_run(target: str, *flags: object, prefix: tuple[str, ...] = ()) -> Run | None:
    """A valid run, the first of a few tries; `None` where the machine was too busy each time."""
    for _ in range(TRIES_MAX):
        attempt = run(target, *flags, prefix=prefix)
        if attempt.exit_code != INVALID:
            return attempt
    return None
