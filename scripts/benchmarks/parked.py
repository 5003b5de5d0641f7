"""What new handshakes cost while many sockets are parked: the gate with 15,000 of them beside the gate with none.

Two gates run at once; rounds take turns between them, and each ratio is of two slices of one round.
"""

import math

import contest
from contest import ContestServer, HeldSockets
from figures import arguments, column, median, show, spread, spread_column
from harness.programs import raise_descriptor_limit
from latency import latency

ROUNDS = 9
PARKED = 15_000
LATENCY_SECONDS = 3
METRICS = {"handshakes_per_s": "1/s", "cpu_us": "us", "p50_us": "us"}


def main() -> None:
    asked = arguments(__doc__, quick="2 rounds, 2,000 sockets").parse_args()
    raise_descriptor_limit()
    rounds, parked = (2, 2000) if asked.quick else (ROUNDS, PARKED)
    gate = contest.gate("gatekeeper", contest.WITHOUT_HEARTBEATS)
    with ContestServer(gate) as empty, ContestServer(gate) as full:
        empty.check()
        full.check()
        with HeldSockets(full, parked):
            slices = [(measure(empty, asked.quick), measure(full, asked.quick)) for _ in range(rounds)]
    show("parked", summary(slices, parked), COLUMNS, asked.json)


def measure(server: ContestServer, is_quick: bool) -> tuple[float, ...]:
    taken = server.slice(server.contestant.slice)
    p50_us, _ = latency(server, 1 if is_quick else LATENCY_SECONDS)["p50_us"]
    return taken.rate_per_s, taken.cpu_us, p50_us


def summary(slices: list, parked: int) -> dict:
    figures = {}
    for place, (metric, unit) in enumerate(METRICS.items()):
        pairs = [(empty[place], full[place]) for empty, full in slices if not math.isnan(empty[place] + full[place])]
        pairs = pairs or [(math.nan, math.nan)]
        figures[metric] = {
            "none": median((empty for empty, _ in pairs), unit),
            f"{parked}": median((full for _, full in pairs), unit),
            **spread("ratio", [full / empty for empty, full in pairs]),
        }
    return figures


COLUMNS = {
    "none parked": column("none"),
    "many parked": lambda row: f"{next(value for key, (value, _) in row.items() if key.isdigit()):,.1f}",
    "ratio": spread_column("ratio", digits=3),
}

if __name__ == "__main__":
    main()
