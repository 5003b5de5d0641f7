"""Instructions that one token takes in the verifier, counted by valgrind, beside those of an older commit.

Counts do not depend on how busy the machine is, so one run of each is enough: a case that takes more than 1 % more
instructions than before fails, as does one that the older commit counts and this tree does not.
"""

import json
import os
import pathlib
import subprocess
import sys

import against
from figures import arguments
from harness.programs import ROOT, fail

RATIO_MAX = 1.01


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--against", metavar="REF", required=True, help="the older commit")
    asked = parser.parse_args()
    new = count(ROOT, os.environ)
    old = count(against.worktree(asked.against), against.cargo_environment())
    if asked.json:
        print(json.dumps({"rows": [{"name": name, "new": new.get(name), "old": old.get(name)} for name in new | old]}))
    else:
        print("| case | new | old | ratio |\n|---|---|---|---|")
        for name in new | old:
            print(f"| {name} | {new.get(name, '')} | {old.get(name, '')} | {ratio(name, new, old)} |")
    faults = [f"{name}: {old[name]} instructions before, now {new.get(name, 'not counted')}"
              for name in old if new.get(name, RATIO_MAX * old[name] + 1) > RATIO_MAX * old[name]]  # fmt: skip
    sys.exit("\n".join(f"FAILED: {fault}" for fault in faults) if faults else 0)


def count(tree: pathlib.Path, environment: dict[str, str]) -> dict[str, int]:
    """Instructions by case. Their limits, which fail the run of scripts/test, are not what is judged here."""
    command = ("cargo", "bench", "--quiet", "--locked", "-p", "benches", "--bench", "instructions")
    run = subprocess.run([*command, "--", "--output-format=json"], cwd=tree, env=environment, stdout=subprocess.PIPE)
    cases = [json.loads(line) for line in run.stdout.splitlines() if line.startswith(b"{")]
    if not cases:
        fail(f"cargo bench exited with {run.returncode} and counted nothing")
    return {f"{case['function_name']}/{case['id']}": instructions(case) for case in cases}


def instructions(case: dict) -> int:
    """Of Gungraun's summary of one case."""
    callgrind = next(profile for profile in case["profiles"] if profile["tool"] == "Callgrind")
    return callgrind["data"]["total"]["metrics"]["Ir"]["values"]["new"]


def ratio(name: str, new: dict[str, int], old: dict[str, int]) -> str:
    return f"{new[name] / old[name]:.4f}" if name in new and name in old else ""


if __name__ == "__main__":
    main()
