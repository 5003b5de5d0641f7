"""`--against REF`: the program of an older state of the tree as one more contestant of the same interleaved run.

REF is built in a worktree of its own, target/against/REF-SHA/. Only its program is used (gatekeeper, gatecrash or
bench-verify), loaded by the scripts of today: flags and results are contracts. Each round starts new processes of both
programs, the new one first in one round and the old one first in the next. A round gives one ratio, new to old, for
each metric. After at least 20 rounds each metric must have a median ratio of at most 1.02 and a 95 % interval that ends
below 1.05 (ratios.py); while that is undecided, rounds are added, up to 200. A benchmark with several measures gives
each of them rounds of its own: short rounds, because the speed of a shared machine changes within seconds. The exit
code is 0 when all metrics are ok, 1 when one is not, or is still undecided.

With fewer rounds (`--rounds 5`, `--quick`) the ratios are printed and not judged.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence

from harness.programs import ROOT, fail, note
from ratios import Judgement, judge

# What one program gives in one round: metrics of which less is better, by name and unit.
Measure = Callable[[pathlib.Path], dict[str, float]]

FOLDER = ROOT / "target/against"
ROUNDS_MIN, ROUNDS_STEP, ROUNDS_MAX = 20, 10, 200
ROUNDS_QUICK = 2
# Rounds of one measure that may fail, for instance because the machine was too busy for valid figures.
FAILED_ROUNDS_MAX = 5


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


def compare(measures: Sequence[Measure], new: pathlib.Path, old: pathlib.Path, asked: argparse.Namespace) -> None:
    """Measures both programs in turns, prints the ratios and exits with the verdict."""
    number = asked.rounds or (ROUNDS_QUICK if asked.quick else ROUNDS_MIN)
    compared = [row for measure in measures for row in compare_one(measure, new, old, number)]
    show(compared, asked.json)
    exit_with(compared)


def compare_one(measure: Measure, new: pathlib.Path, old: pathlib.Path, number: int) -> list["Compared"]:
    """The metrics of one measure, over as many rounds as their verdicts need."""
    rounds, failed = [], 0
    while True:
        wanted = len(rounds) + number
        while len(rounds) < wanted and failed <= FAILED_ROUNDS_MAX:
            try:
                rounds.append(one_round(measure, new, old, len(rounds)))
            except SystemExit as failure:
                failed += 1
                note(f"round {len(rounds) + 1} is repeated: {failure}")
        if failed > FAILED_ROUNDS_MAX and not rounds:
            fail(f"{failed} rounds failed, none succeeded")
        compared = [Compared.of(metric, rounds) for metric in rounds[0][0]]
        undecided = [row.metric for row in compared if row.judgement.verdict == "undecided"]
        if failed > FAILED_ROUNDS_MAX or not undecided or not ROUNDS_MIN <= len(rounds) < ROUNDS_MAX:
            return compared
        note(f"undecided after {len(rounds)} rounds: {', '.join(undecided)}")
        number = min(ROUNDS_STEP, ROUNDS_MAX - len(rounds))


@dataclasses.dataclass(frozen=True)
class Compared:
    """One metric of both programs over all rounds."""

    metric: str
    rounds: int
    # Medians of the rounds.
    new: float
    old: float
    judgement: Judgement

    @classmethod
    def of(cls, metric: str, rounds: list[tuple[dict, dict]]) -> "Compared":
        new, old = ([each[side][metric] for each in rounds] for side in (0, 1))
        ratios = [new / old for new, old in zip(new, old, strict=True)]
        return cls(metric, len(rounds), statistics.median(new), statistics.median(old), judge(ratios))

    def is_judged(self) -> bool:
        return self.rounds >= ROUNDS_MIN


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


def show(compared: list[Compared], as_json: bool) -> None:
    if as_json:
        rows = [
            {"metric": row.metric, "rounds": row.rounds, "new": row.new, "old": row.old, "ratio": it.median,
             "low": it.low, "high": it.high if it.low else None, "verdict": it.verdict}
            for row in compared for it in [row.judgement]
        ]  # fmt: skip
        print(json.dumps({"rows": rows}))
        return
    print("Ratios are new to old, one a round.\n")
    print("| metric | rounds | new | old | median ratio | 95 % interval | |\n|---|---|---|---|---|---|---|")
    for row in compared:
        it, verdict = row.judgement, row.judgement.verdict if row.is_judged() else "not judged"
        figures = f"{row.rounds} | {row.new:,.1f} | {row.old:,.1f} | {it.median:.3f} | {it.low:.3f}-{it.high:.3f}"
        print(f"| {row.metric} | {figures} | {verdict} |")


def exit_with(compared: list[Compared]) -> None:
    if any(not row.is_judged() for row in compared):
        note(f"not all judged: that needs at least {ROUNDS_MIN} rounds")
    failed = [row for row in compared if row.is_judged() and row.judgement.verdict != "ok"]
    for row in failed:
        it = row.judgement
        print(f"FAILED: {row.metric} is {it.verdict}: {it.median:.3f} [{it.low:.3f}-{it.high:.3f}]", file=sys.stderr)
    sys.exit(1 if failed else 0)
