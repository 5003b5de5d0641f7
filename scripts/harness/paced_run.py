"""One run of gatecrash at a fixed rate against the floor server, each on a core of its own and at a priority above the
rest of the machine, where that is allowed (chrt, nice): the engine is measured, not its neighbours."""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import tempfile
import time

from harness import gatecrash, observe
from harness.gatecrash import CLOSED_AT_ONCE, INVALID, MINTED_PER_USER, ONE_SHARD
from harness.programs import CLIENT_CPU, FLOOR_WITH_KEYS, QUIET, SERVER_CPU, SOURCES, Server, fail, pinned, real_time

# The kernel takes a twentieth of each second from real-time processes that leave nothing to others, and a generator at
# such a rate spins for up to 60 us before each arrival. Without the right to nice(1) its priority is the usual one.
BUSY_RATE_MIN = 8000
BUSY_PREFIX = ("nice", "-n", "-20")
WATCH_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class PacedRun:
    """A run that has ended; its share of a core is the kernel's count over its whole life."""

    exit_code: int
    result: dict
    cpu_share: float


def floor() -> Server:
    """The server that all paced runs load."""
    return Server(FLOOR_WITH_KEYS, cpus=(SERVER_CPU,), prefix=real_time())


def run(server: Server, rate_per_s: int, number: int, *, starve=None, watch=None) -> PacedRun:
    """`starve`: a prefix of the command, and a context manager of the process that runs beside it. `watch` is called with
    the process id each second."""
    usual = BUSY_PREFIX if rate_per_s >= BUSY_RATE_MIN else real_time()
    prefix, beside = starve or (usual, contextlib.nullcontext)
    with tempfile.TemporaryDirectory() as out:
        flags = ("--quiet", "--connections", number, "--rate", f"{rate_per_s}/s", "--source-ip", SOURCES)
        target = f"ws://{server.address}/ws"
        command = gatecrash.command(target, out, *flags, *CLOSED_AT_ONCE, *ONE_SHARD, *MINTED_PER_USER)
        started = time.monotonic()
        process = subprocess.Popen(
            [*prefix, *pinned(CLIENT_CPU), *command],
            env=QUIET, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with beside(process):
            cpu_ns = watch_until_end(process, watch)
        cpu_share = cpu_ns / 1e9 / (time.monotonic() - started)
        if process.returncode not in (0, INVALID):
            fail(f"gatecrash exited with {process.returncode}\n{process.stderr.read()}")
        return PacedRun(process.returncode, json.loads(pathlib.Path(out, "result.json").read_text()), cpu_share)


def watch_until_end(process: subprocess.Popen, watch) -> int:
    """The last reading of its processor time, in nanoseconds."""
    cpu_ns = 0
    while process.poll() is None:
        with contextlib.suppress(OSError, LookupError):
            cpu_ns = observe.cpu_ns(process.pid)
            if watch:
                watch(process.pid)
        time.sleep(1 if watch else WATCH_SECONDS)
    return cpu_ns
