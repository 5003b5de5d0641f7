"""Runs every command that the docs show: each fenced block tagged `sh`, in the order of the files.

    python run_docs.py FILE.md...

A block runs under `bash -euo pipefail` at the project's root, with the release build on the PATH and nothing on its
standard input. `text` blocks are output and are not run. `scripts/test` and `.ci/run` are left out: they run this.
A block that exits with 97 (the machine was too busy to measure on, which is no fault of the docs) is run again.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUNS_US = re.compile(r"^(scripts/test|\.ci/run)$", re.MULTILINE)
BLOCK_SECONDS_MAX = 600  # the longest is the benchmarks; the main job takes a quarter of a minute
INVALID = 97
TRIES_MAX = 5


def main(files: list[str]) -> int:
    environment = os.environ | {"PATH": f"{ROOT / 'target/release'}:{os.environ['PATH']}"}
    failed = 0
    for file in files:
        for block in BLOCK.findall((ROOT / file).read_text()):
            script = RUNS_US.sub("", block).strip()
            if not script:
                continue
            print(f"-- {file}\n{script}", flush=True)
            for _ in range(TRIES_MAX):
                run = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", script],
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    timeout=BLOCK_SECONDS_MAX,
                )
                if run.returncode != INVALID:
                    break
            if run.returncode != 0:
                print(f"run_docs: exit {run.returncode} from a block of {file}", file=sys.stderr)
                failed += 1
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
