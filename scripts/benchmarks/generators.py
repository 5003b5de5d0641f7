"""Load generators beside a bare client: what one handshake and one held socket cost each of them.

    scripts/bench generators [--json] [--quick] [--rounds N]

All drive the floor server, which has a core of its own and answers every key; the generator of the moment has another.
Rounds are interleaved, and a ratio is of two slices of one round. What a program takes to start and to write its
report is taken off: each slice is the difference of a long run and a short one.

    handshakes/s    64 at once, as fast as they get done, each closed by a close frame as soon as it is authenticated
                    (Artillery and tsung know arrivals alone: as many as saturate their core)
    CPU us          processor time of the generator, all its threads, per handshake
    ratio           to the bare client's in the same round: median [min-max]
    RSS             per held socket: the same run with many sockets and with few
    3,000/s         whether it began and ended 3,000 handshakes a second for five seconds, and what it spent on each
"""

import argparse
import statistics

import contest
from rivals import BARE, FLOOR, GATECRASH, RIVALS, Generator, Run, install
from rows import as_json, as_table, note

# What a bare epoll client in C took per handshake on the machine of the first measurements, microseconds.
BARE_CPU_US_KNOWN = 41
RATE_PER_S = 3000
RATE_SECONDS = 5
# Fewer than this part of the handshakes, or more than this much longer for them: the schedule was not held.
HELD_SHARE_MIN = 0.99
HELD_TIME_MAX = 1.05


def main() -> None:
    asked = arguments()
    contest.raise_descriptors()
    generators = (BARE, GATECRASH) if asked.quick else (BARE, GATECRASH, *RIVALS)
    if not asked.quick:
        install()
    with contest.Server(FLOOR) as server:
        figures = {generator.name: {} for generator in generators}
        measure_handshakes(server, generators, asked.rounds or (2 if asked.quick else 5), figures, asked.quick)
        for generator in generators:
            figures[generator.name] |= held(server, generator)
            if not asked.quick:
                figures[generator.name] |= at_a_rate(server, generator)
    if asked.json:
        print(as_json("generators", figures))
        return
    print(as_table(figures, COLUMNS | ({} if asked.quick else RATE_COLUMNS)))
    print(f"\nThe bare client takes {figures[BARE.name]['cpu_us_per_handshake'][0]:.1f} us here, {BARE_CPU_US_KNOWN} us "
          "where it was first measured.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench generators", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help='{"rows":[{"name","value","unit"}]}')
    parser.add_argument("--quick", action="store_true", help="the bare client and gatecrash alone")
    parser.add_argument("--rounds", type=int, help="interleaved rounds [default: 5; 2 where it is quick]")
    return parser.parse_args()


COLUMNS = {
    "handshakes/s": lambda row: f"{row['handshakes_per_s'][0]:,.0f}",
    "CPU us": lambda row: f"{row['cpu_us_per_handshake'][0]:.1f}",
    "ratio": lambda row: "{:.2f} [{:.2f}-{:.2f}]".format(*(row[f"ratio{end}"][0] for end in ("", "_min", "_max"))),
    "RSS B": lambda row: f"{row['rss_bytes_per_socket'][0]:,.0f}",
}
RATE_COLUMNS = {
    "3,000/s": lambda row: "held" if row["schedule_held"][0] else f"{row['rate_reached'][0]:,.0f}/s",
    "CPU us at 3,000/s": lambda row: f"{row['cpu_us_at_rate'][0]:.1f}",
}


def measure_handshakes(server, generators, rounds: int, figures: dict, quick: bool) -> None:
    slices = {generator: [] for generator in generators}
    for number in range(rounds):
        for generator, taken in slices.items():
            long = generator.slice // 4 if quick else generator.slice
            short = long // 10
            most, least = (generator.as_fast_as_possible(server, many) for many in (long, short))
            taken.append(between(least, most))
        note(f"round {number + 1} of {rounds}")
    for generator, taken in slices.items():
        ratios = [cpu / bare for (cpu, _), (bare, _) in zip(taken, slices[BARE])]
        figures[generator.name] |= {
            "handshakes_per_s": (statistics.median(rate for _, rate in taken), "1/s"),
            "cpu_us_per_handshake": (statistics.median(cpu for cpu, _ in taken), "us"),
            "ratio": (statistics.median(ratios), "ratio"),
            "ratio_min": (min(ratios), "ratio"),
            "ratio_max": (max(ratios), "ratio"),
        }


def between(least: Run, most: Run) -> tuple[float, float]:
    """Processor time per handshake, us, and handshakes per second, of what a run does more than another."""
    done = most.done - least.done
    return (most.cpu_s - least.cpu_s) * 1e6 / done, done / (most.wall_s - least.wall_s)


def held(server, generator: Generator) -> dict:
    few, many = (generator.held(server, sockets) for sockets in (generator.held_sockets // 15, generator.held_sockets))
    note(f"{generator.name}: {many.done} held sockets measured")
    grown_bytes = many.rss_bytes_max - few.rss_bytes_max
    return {"rss_bytes_per_socket": (grown_bytes / (many.done - few.done), "B")}


def at_a_rate(server, generator: Generator) -> dict:
    asked = RATE_PER_S * RATE_SECONDS
    short = generator.at_rate(server, RATE_PER_S, 1)
    whole = generator.at_rate(server, RATE_PER_S, RATE_SECONDS)
    seconds = whole.wall_s - short.wall_s + 1
    note(f"{generator.name}: {whole.done} of {asked} in {seconds:.1f} s")
    is_held = whole.done >= asked * HELD_SHARE_MIN and seconds <= RATE_SECONDS * HELD_TIME_MAX
    cpu_us, rate = between(short, whole)
    return {
        "schedule_held": (float(is_held), "bool"),
        "rate_reached": (min(rate, RATE_PER_S), "1/s"),
        "cpu_us_at_rate": (cpu_us, "us"),
    }


if __name__ == "__main__":
    main()
