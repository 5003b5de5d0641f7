"""How late gatecrash's arrivals begin, by the share of its core that the generator spends.

Each run is against the floor server, at a fixed rate that takes from a twentieth of a core to nearly all of it; rounds
are interleaved.
"""

from figures import arguments, column, median, show, spread, spread_column
from harness import paced_run
from harness.programs import note, raise_descriptor_limit

ROUNDS = 3
RUN_SECONDS = 3
# Handshakes per second, closed at once.
RATES_PER_S = (1000, 3000, 6000, 10_000, 14_000, 18_000, 22_000, 26_000, 30_000)
# Before a run a generator asks for as many descriptors as it could need, of which many machines grant 20,000.
NUMBER_MAX = 19_000


def main() -> None:
    asked = arguments(__doc__, rounds=ROUNDS).parse_args()
    raise_descriptor_limit()
    results = {rate: [] for rate in RATES_PER_S}
    rounds = asked.rounds or ROUNDS
    with paced_run.floor() as server:
        for number in range(rounds):
            for rate in RATES_PER_S:
                results[rate].append(paced_run.run(server, rate, min(rate * RUN_SECONDS, NUMBER_MAX)).result)
            note(f"round {number + 1} of {rounds}")
    show("lag", {f"{rate}/s": summary(of_rate) for rate, of_rate in results.items()}, COLUMNS, asked.json)


def summary(results: list[dict]) -> dict:
    lags = [result["phases"]["handshake"]["lag"] for result in results]
    units = {"cpu_share": "ratio", "spin_share": "ratio", "cpu_us_per_handshake": "us"}
    return {
        **{key: median((result["generator"][key] for result in results), unit) for key, unit in units.items()},
        "lag_p50": median((lag["p50_us"] for lag in lags), "us"),
        **spread("lag_p99", [lag["p99_us"] for lag in lags], "us"),
    }


COLUMNS = {
    "share of a core": lambda row: f"{row['cpu_share'][0] * 100:.0f} %",
    "of it the spin": lambda row: f"{row['spin_share'][0] * 100:.0f} %",
    "CPU us per handshake": column("cpu_us_per_handshake"),
    "lag p50 us": column("lag_p50"),
    "lag p99 us": spread_column("lag_p99", 0),
}

if __name__ == "__main__":
    main()
