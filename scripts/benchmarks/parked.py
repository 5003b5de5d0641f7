"""What new handshakes cost while many sockets are parked: the gate with 15,000 of them beside the gate with none.

    scripts/bench parked [--json] [--quick]

Two gates run at once; rounds take turns between them, and each ratio is of two slices of one round. Their ping interval
is an hour: heartbeats are a load of their own, and those of sockets opened together come together.
"""

import argparse
import dataclasses
import math
import statistics

import contest
from contest import GATE, Held, Server, gatekeeper
from latency import latency
from rows import as_json, as_table, spread, spread_column

ROUNDS = 9
PARKED = 15_000
LATENCY_SECONDS = 3
PING_INTERVAL_MS = 3_600_000
WHAT = ("handshakes_per_s", "cpu_us", "p50_us")


def main() -> None:
    flags = argparse.ArgumentParser(prog="scripts/bench parked")
    flags.add_argument("--json", action="store_true", help='print {"rows":[{"name","value","unit"}]}')
    flags.add_argument("--quick", action="store_true", help="2 rounds, 2,000 sockets")
    asked = flags.parse_args()
    contest.raise_descriptors()
    rounds, parked = (2, 2000) if asked.quick else (ROUNDS, PARKED)
    patient = gatekeeper("--workers", "1", "--ping-interval", str(PING_INTERVAL_MS))
    gate = dataclasses.replace(GATE, command=patient)
    with Server(gate) as empty, Server(gate) as full:
        empty.check()
        full.check()
        with Held(full, parked):
            slices = [(measure(empty, asked.quick), measure(full, asked.quick)) for _ in range(rounds)]
    figures = summed_up(slices, parked)
    print(as_json("parked", figures) if asked.json else as_table(figures, COLUMNS))


def measure(server: Server, quick: bool) -> tuple[float, ...]:
    taken = server.slice(server.contestant.slice)
    p50_us, _ = latency(server, 1 if quick else LATENCY_SECONDS)["p50_us"]
    return taken.rate_per_s, taken.cpu_us, p50_us


def summed_up(slices: list, parked: int) -> dict:
    figures = {}
    for place, what in enumerate(WHAT):
        pairs = [(empty[place], full[place]) for empty, full in slices if not math.isnan(empty[place] + full[place])]
        ratios = [full / empty for empty, full in pairs] or [math.nan]
        figures[what] = {
            "none": (statistics.median([empty for empty, _ in pairs] or [math.nan]), what.rpartition("_")[2]),
            f"{parked}": (statistics.median([full for _, full in pairs] or [math.nan]), what.rpartition("_")[2]),
            **spread("ratio", ratios),
        }
    return figures


COLUMNS = {
    "none parked": lambda row: f"{row['none'][0]:,.1f}",
    "many parked": lambda row: f"{next(value for key, (value, _) in row.items() if key.isdigit()):,.1f}",
    "ratio": spread_column("ratio", digits=3),
}

if __name__ == "__main__":
    main()
