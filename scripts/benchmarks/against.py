"""`--against REF`: the program of an older state of the tree as one more contestant of the same interleaved run.

REF is built in a worktree of its own, target/against/REF-SHA/. Only its program is used (gatekeeper, gatecrash or
bench-verify), loaded by the scripts of today: flags and results are contracts. Each round starts new processes of both
programs, the new one first in one round and the old one first in the next. A round gives one ratio, new to old, for
each metric. After at least 20 rounds each metric must have a median ratio of at most 1.02 and a 95 % interval that ends
below 1.05 (ratios.py); while that is undecided, rounds are added, up to 100. The exit code is 0 when all metrics are ok,
1 when one is not, or is still undecided.

With fewer rounds (`--rounds 5`, `--quick`) the ratios are printed and not judged.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable

from harness.programs import ROOT, fail, note
from ratios import Judgement, judge

# What one program gives in one round: metrics of which less is better, by name and unit.
Measure = Callable[[pathlib.Path], dict[str, float]]

FOLDER = ROOT / "target/against"
ROUNDS_MIN, ROUNDS_STEP, ROUNDS_MAX = 20, 10, 100
ROUNDS_QUICK = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    old = parser.add_mutually_exclusive_group()
    old.add_argument("--against", metavar="REF", help="compare with the program of an older commit; exit code 1: slower")
    old.add_argument("--against-program", metavar="FILE", type=pathlib.Path, help="the same with a program already built")


def is_asked(asked: argparse.Namespace) -> bool:
    return bool(asked.against or asked.against_program)


def old_program(asked: argparse.Namespace, package: str, program: str | None = None) -> pathlib.Path:
    """The program to compare with: of a file, or built from a package of the worktree of REF."""
    program = program or package
    if asked.against_program:
        return asked.against_program.resolve(strict=True)
    tree = worktree(asked.against)
    kept = FOLDER / "programs" / f"{tree.name}-{program}"
    if not kept.exists():
        note(f"building {program} in {tree.relative_to(ROOT)}")
        command = ("cargo", "build", "--release", "--quiet", "--locked", "-p", package, "--bin", program)
        subprocess.run(command, cwd=tree, env=cargo_environment(), check=True)
        kept.parent.mkdir(exist_ok=True)
        shutil.copy2(FOLDER / "cargo/release" / program, kept)
    return kept


def worktree(ref: str) -> pathlib.Path:
    """A git worktree of REF, made when first needed."""
    asked = subprocess.run(["git", "rev-parse", "--verify", "--short=12", f"{ref}^{{commit}}"], cwd=ROOT,
                           capture_output=True, text=True, check=False)  # fmt: skip
    if asked.returncode != 0:
        fail(f"{ref} is not a commit: {asked.stderr.strip()}")
    sha = asked.stdout.strip()
    name = f"{re.sub('[^A-Za-z0-9._]+', '-', ref)}-{sha}"
    tree = FOLDER / name
    if not tree.exists():
        # A worktree whose folder was deleted is still registered.
        subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, sha], cwd=ROOT, check=True)
    return tree


def cargo_environment() -> dict[str, str]:
    """One target folder for all worktrees: they share what they depend on."""
    return os.environ | {"CARGO_TARGET_DIR": str(FOLDER / "cargo")}


def compare(measure: Measure, new: pathlib.Path, old: pathlib.Path, asked: argparse.Namespace) -> None:
    """Measures both in turns, prints what came of it and exits."""
    rounds = []
    number = asked.rounds or (ROUNDS_QUICK if asked.quick else ROUNDS_MIN)
    while True:
        rounds += [one_round(measure, new, old, len(rounds) + place) for place in range(number)]
        judgements = {metric: judge([new[metric] / old[metric] for new, old in rounds]) for metric in rounds[0][0]}
        undecided = [metric for metric, judgement in judgements.items() if judgement.verdict == "undecided"]
        if not undecided or not ROUNDS_MIN <= len(rounds) < ROUNDS_MAX:
            break
        note(f"undecided after {len(rounds)} rounds: {', '.join(undecided)}")
        number = min(ROUNDS_STEP, ROUNDS_MAX - len(rounds))
    show(judgements, rounds, asked.json)
    exit_with(judgements, len(rounds))


def one_round(measure: Measure, new: pathlib.Path, old: pathlib.Path, place: int) -> tuple[dict, dict]:
    """The figures of both, new and old; which is measured first alternates."""
    if place % 2 == 0:
        figures = measure(new), measure(old)
    else:
        figures = tuple(reversed((measure(old), measure(new))))
    if figures[0].keys() != figures[1].keys():
        fail(f"the programs have different metrics: {', '.join(figures[0].keys() ^ figures[1].keys())}")
    if any(value <= 0 for each in figures for value in each.values()):
        fail(f"a figure is not above 0, so it has no ratio: {figures}")
    note(f"round {place + 1}: " + ", ".join(f"{name} {figures[0][name] / figures[1][name]:.3f}" for name in figures[0]))
    return figures


def show(judgements: dict[str, Judgement], rounds: list, as_json: bool) -> None:
    medians = {
        metric: [statistics.median(each[side][metric] for each in rounds) for side in (0, 1)] for metric in judgements
    }
    if as_json:
        rows = [
            {"metric": metric, "new": medians[metric][0], "old": medians[metric][1], "ratio": it.median,
             "low": it.low, "high": it.high if it.low else None, "verdict": it.verdict}
            for metric, it in judgements.items()
        ]  # fmt: skip
        print(json.dumps({"rounds": len(rounds), "rows": rows}))
        return
    print(f"{len(rounds)} rounds; ratios are new to old, one a round\n")
    print("| metric | new | old | median ratio | 95 % interval | |\n|---|---|---|---|---|---|")
    for metric, it in judgements.items():
        new, old = medians[metric]
        verdict = it.verdict if len(rounds) >= ROUNDS_MIN else "not judged"
        print(f"| {metric} | {new:,.1f} | {old:,.1f} | {it.median:.3f} | {it.low:.3f}-{it.high:.3f} | {verdict} |")


def exit_with(judgements: dict[str, Judgement], rounds: int) -> None:
    if rounds < ROUNDS_MIN:
        note(f"not judged: that needs at least {ROUNDS_MIN} rounds")
        sys.exit(0)
    failed = [f"{metric} is {it.verdict}: {it.median:.3f} [{it.low:.3f}-{it.high:.3f}]"
              for metric, it in judgements.items() if it.verdict != "ok"]  # fmt: skip
    for fault in failed:
        print(f"FAILED: {fault}", file=sys.stderr)
    sys.exit(1 if failed else 0)
