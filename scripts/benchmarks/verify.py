"""One token through the verifier of this tree and through that of an older commit.

Both programs (bench-verify) are run as processes in turns; each gives the minimum of short slices for each algorithm,
with and without the cache, accepted and refused. Without `--against` scripts/bench runs the program itself, which sets
the verifier beside its rivals and the bare primitives.
"""

import json
import pathlib
import subprocess

import against
from figures import arguments
from harness.programs import ROOT

NEW = ROOT / "target/release/bench-verify"
# Rows of what is not ours.
OTHERS = ("jsonwebtoken", "primitive", "aws-lc-rs")
ALGORITHM_QUICK = "hs256"


def main() -> None:
    parser = arguments(__doc__, quick="2 rounds of one algorithm", rounds=against.ROUNDS_MIN)
    against.add_arguments(parser)
    parser.add_argument("algorithms", nargs="*", metavar="ALGORITHM", help="hs256, es256, ... [default: all]")
    asked = parser.parse_args()
    algorithms = asked.algorithms or ([ALGORITHM_QUICK] if asked.quick else [])
    old = against.old_program(asked, "benches", "bench-verify")
    against.compare([lambda program: measure(program, algorithms)], NEW, old, asked)


def measure(program: pathlib.Path, algorithms: list[str]) -> dict[str, float]:
    """Nanoseconds a token, by row."""
    run = subprocess.run([program, "--json", *algorithms], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    rows = json.loads(run.stdout)["rows"]
    return {f"{row['name']}, ns": row["value"] for row in rows if not row["name"].rpartition("/")[2].startswith(OTHERS)}


if __name__ == "__main__":
    main()
