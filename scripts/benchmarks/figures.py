"""The flags that benchmarks have in common, and their figures as output: {subject: {metric: (value, unit)}}."""

import argparse
import json
import math
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterable


def arguments(about: str, *, quick: str | None = None, rounds: int | None = None) -> argparse.ArgumentParser:
    """The parser of the benchmark that runs: `--json`, and `--quick` and `--rounds` where it has them."""
    name = pathlib.Path(sys.argv[0]).stem.replace("_", "-")
    parser = argparse.ArgumentParser(
        prog=f"scripts/bench {name}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help='print {"rows":[{"name","value","unit"}]}')
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    if rounds:
        parser.add_argument("--rounds", type=int, help=f"interleaved rounds [default: {rounds}; fewer with --quick]")
    return parser


def show(benchmark: str, figures: dict, columns: dict, as_json: bool) -> None:
    """Prints them for programs or for people."""
    print(to_json(benchmark, figures) if as_json else to_table(figures, columns))


def to_json(benchmark: str, figures: dict) -> str:
    """{"rows":[{"name","value","unit"}]}, names `benchmark/subject/metric`; what could not be measured is null."""
    rows = [
        {"name": f"{benchmark}/{subject}/{metric}", "value": None if math.isnan(value) else value, "unit": unit}
        for subject, row in figures.items()
        for metric, (value, unit) in row.items()
    ]
    return json.dumps({"rows": rows})


def to_table(figures: dict, columns: dict[str, Callable[[dict], str]]) -> str:
    """A line per subject, in Markdown."""
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[subject, *(column(row) for column in columns.values())] for subject, row in figures.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def median(values: Iterable[float], unit: str) -> tuple[float, str]:
    return statistics.median(values), unit


def spread(metric: str, values: list[float], unit: str = "ratio") -> dict:
    """The median, the minimum and the maximum."""
    return {
        metric: (statistics.median(values), unit),
        f"{metric}_min": (min(values), unit),
        f"{metric}_max": (max(values), unit),
    }


def column(metric: str, digits: int = 1) -> Callable[[dict], str]:
    """A figure as a table shows it; nothing where the subject has none."""
    return lambda row: f"{row[metric][0]:,.{digits}f}" if metric in row else ""


def spread_column(metric: str, digits: int = 2) -> Callable[[dict], str]:
    """A spread as a table shows it: median [minimum-maximum]."""
    ends = ("", "_min", "_max")
    return lambda row: "{} [{}-{}]".format(*(f"{row[metric + end][0]:.{digits}f}" for end in ends))
