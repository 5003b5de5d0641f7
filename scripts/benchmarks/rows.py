"""Figures on their way out: {subject: {what: (value, unit)}} as JSON, or as a table for people."""

import json
import math
import statistics
import sys
from collections.abc import Callable


def as_json(bench: str, figures: dict) -> str:
    """{"rows":[{"name","value","unit"}]}, names `bench/subject/what`; what could not be measured is null."""
    rows = [
        {"name": f"{bench}/{subject}/{what}", "value": None if math.isnan(value) else value, "unit": unit}
        for subject, row in figures.items()
        for what, (value, unit) in row.items()
    ]
    return json.dumps({"rows": rows})


def as_table(figures: dict, columns: dict[str, Callable[[dict], str]]) -> str:
    """A line per subject, in Markdown."""
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[subject, *(column(row) for column in columns.values())] for subject, row in figures.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(what: str, ratios: list[float]) -> dict:
    """The median of ratios, and the least and the most of them."""
    return {
        what: (statistics.median(ratios), "ratio"),
        f"{what}_min": (min(ratios), "ratio"),
        f"{what}_max": (max(ratios), "ratio"),
    }


def spread_column(what: str, digits: int = 2) -> Callable[[dict], str]:
    """That as a table shows it: median [least-most]."""

    def column(row: dict) -> str:
        median, least, most = (f"{row[f'{what}{end}'][0]:.{digits}f}" for end in ("", "_min", "_max"))
        return f"{median} [{least}-{most}]"

    return column


def note(text: str) -> None:
    """Tells whoever waits how far it is."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
