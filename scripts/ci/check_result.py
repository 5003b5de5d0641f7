"""Checks a result directory: schema, sums, the histogram log, the server's own count.

    python check_result.py DIR [--established N] [--stats URL]

Uses readers that this project did not write (jsonschema, Python's hdrhistogram). Prints every difference; exits with 1 if
there is one.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "reports/schema/result-1.json"
READ_HLOG = ROOT / "scripts/peers/python/read_hlog.py"
COMPOSITES = ("handshake", "echo")


def main() -> list[str]:
    flags = argparse.ArgumentParser()
    flags.add_argument("directory", type=pathlib.Path)
    flags.add_argument("--established", type=int)
    flags.add_argument("--stats")
    asked = flags.parse_args()
    result = json.loads((asked.directory / "result.json").read_text())

    wrong = [error.message for error in jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(result)]
    totals = result["totals"]
    outcomes = sum(count for name, count in totals.items() if name not in ("planned", "started"))
    if totals["planned"] != outcomes:
        wrong.append(f"planned {totals['planned']} is not the sum of the outcomes {outcomes}")
    if asked.established is not None:
        if totals["established"] != asked.established:
            wrong.append(f"established {totals['established']}, not {asked.established}: {result['failures']}")
        if not result["validity"]["valid"]:
            wrong.append(f"invalid: {result['validity']['reasons']}")
    if asked.stats:
        server = json.load(urllib.request.urlopen(asked.stats))
        if server["accepted"] != totals["established"]:
            wrong.append(f"the server accepted {server['accepted']}, we established {totals['established']}")
    wrong += log_differences(asked.directory, result)
    for name in ("report.html", "summary.md"):
        if not (asked.directory / name).read_text().strip():
            wrong.append(f"{name} is empty")
    xml.etree.ElementTree.parse(asked.directory / "junit.xml")
    rows = list(csv.DictReader((asked.directory / "intervals.csv").open()))
    if not rows:
        wrong.append("intervals.csv has no rows")
    return wrong


def log_differences(directory: pathlib.Path, result: dict) -> list[str]:
    """`run.hlog`, read by an independent reader, must have as many values for each tag as `result.json` for the phase."""
    read = subprocess.run([sys.executable, READ_HLOG, directory / "run.hlog"], capture_output=True, text=True, check=True)
    log = json.loads(read.stdout)
    wrong = []
    for name, phase in result["phases"].items():
        parts = ("response", "service", "lag") if name in COMPOSITES else (None,)
        for part in parts:
            tag = f"{name}.{part}" if part else name
            figures = phase.get(part or "service")
            if figures is None:
                continue
            if (log.get(tag) or {"count": 0})["count"] != figures["count"]:
                wrong.append(f"run.hlog has {log.get(tag)} for {tag}, result.json {figures['count']}")
    return wrong


if differences := main():
    sys.exit("\n".join(f"check_result: {difference}" for difference in differences))
print("check_result: schema, sums, histogram log and files agree")
