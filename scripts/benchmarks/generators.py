"""Load generators beside a bare client: what one handshake and one held socket cost each of them.

All load the floor server, which has a core of its own and answers every key; the generator of the moment has another.
Rounds are interleaved, and a ratio is of two slices of one round. What a program takes to start and to write its
report is subtracted: each slice is the difference of a long run and a short one. First the gate checks each generator:
it must accept all of its handshakes with a valid token, and none with a forged one.

    handshakes/s    64 at once, as fast as they complete, each closed by a close frame as soon as it is authenticated
                    (Artillery and tsung have no closed model: about as many arrivals as saturate their core)
    CPU us          processor time of the generator, all its threads, per handshake
    ratio           to the bare client's in the same round: median [min-max]
    RSS             per held socket: the same run with many sockets and with few
    3,000/s         whether it began and ended 3,000 handshakes a second for five seconds, and what it spent on each
"""

import argparse
import functools
import pathlib

import against
import contest
from contest import FLOOR_FOR_GATECRASH, ContestServer
from figures import arguments, column, median, show, spread, spread_column
from generator_drivers import RIVALS, Bare, Gatecrash, Generator, Load, Run, install
from harness.programs import GATECRASH, SECRET, Server, fail, note, raise_descriptor_limit

# What a bare epoll client in C took per handshake on the machine of the first measurements, microseconds.
BARE_CPU_US_KNOWN = 41
ROUNDS = 3
CHECKED = 200
# Longer than the slowest takes to open its sockets.
HOLD_SECONDS = 4
# Longer than gatecrash takes.
HOLD_SECONDS_AGAINST, HOLD_SECONDS_QUICK = 2, 1
RATE_PER_S = 3000
RATE_SECONDS, RATE_SECONDS_AGAINST = 5, 3
# Fewer than this part of the handshakes, or more than this much longer for them: the schedule was not kept.
KEPT_SHARE_MIN = 0.99
KEPT_TIME_MAX = 1.05
BARE = Bare()


def main() -> None:
    asked = parse_arguments()
    raise_descriptor_limit()
    if against.is_asked(asked):
        old = against.old_program(asked, "gatecrash")
        measures = [functools.partial(measure_program, part, asked) for part in parts(asked)]
        against.compare(measures, GATECRASH, old, asked)
    generators = (BARE, Gatecrash(), *(() if asked.quick else RIVALS))
    if not asked.quick:
        install()
    if not asked.only:
        with ContestServer(contest.GATE) as gate:
            for generator in generators:
                check(gate, generator)
    rounds = []
    with ContestServer(FLOOR_FOR_GATECRASH) as server:
        for number in range(asked.rounds or (2 if asked.quick else ROUNDS)):
            rounds.append({generator: measure(server, generator, parts(asked), asked) for generator in generators})
            note(f"round {number + 1} done")
    figures = {generator.name: summary(rounds, generator) for generator in generators}
    show("generators", figures, {name: it for part in parts(asked) for name, it in COLUMNS[part].items()}, asked.json)
    if not asked.json and "handshakes" in parts(asked):
        print(f"\nThe bare client takes {figures[BARE.name]['cpu_us_per_handshake'][0]:.1f} us here, "
              f"{BARE_CPU_US_KNOWN} us where it was first measured.")


def parse_arguments() -> argparse.Namespace:
    parser = arguments(__doc__, quick="the bare client and gatecrash alone, in a few seconds", rounds=ROUNDS)
    parser.add_argument("--only", choices=PARTS, help="one part alone, and tokens are not checked again")
    against.add_arguments(parser)
    return parser.parse_args()


def parts(asked: argparse.Namespace) -> tuple[str, ...]:
    return (asked.only,) if asked.only else PARTS[:2] if asked.quick else PARTS


PARTS = ("handshakes", "held", "rate")
COLUMNS = {
    "handshakes": {
        "handshakes/s": column("handshakes_per_s", 0),
        "CPU us": column("cpu_us_per_handshake"),
        "ratio": spread_column("ratio"),
    },
    "held": {"RSS B": column("rss_bytes_per_socket", 0)},
    "rate": {
        "3,000/s": lambda row: "kept" if row["schedule_held"][0] else f"{row['rate_reached'][0]:,.0f}/s",
        "CPU us at 3,000/s": column("cpu_us_at_rate"),
    },
}


def check(gate: Server, generator: Generator) -> None:
    """Whether its handshakes really carry the token that it was given: the gate counts those that it accepts."""
    before = accepted(gate)
    generator.run(gate, Load(CHECKED))
    good = accepted(gate)
    # However it ends: some report refusals as failures of their own.
    forged = generator.attempt(gate, Load(CHECKED, secret=SECRET[::-1]))
    if (good - before, accepted(gate) - good, forged.done) != (CHECKED, 0, 0):
        fail(f"{generator.name}: the gate accepted {good - before} of {CHECKED} with a valid token, and "
             f"{accepted(gate) - good} with a forged one, of which it reports {forged.done} as done")
    note(f"{generator.name} authenticates")


def accepted(gate: Server) -> int:
    """Handshakes that the gate has accepted."""
    return int(gate.metrics()['gatekeeper_handshakes_total{outcome="established"}'])


def measure_program(part: str, asked: argparse.Namespace, program: pathlib.Path) -> dict[str, float]:
    """One part of the figures of the gatecrash of that program, against a fresh floor. Memory is the process's: a held
    socket takes so little that a ratio of what the sockets add would be one of noise."""
    names = {"cpu_us": "rush, CPU us", "cpu_us_at_rate": "3,000/s, CPU us"}
    names["rss_mib_of_many"] = f"{Gatecrash.held_sockets:,} held sockets, RSS MiB"
    with ContestServer(FLOOR_FOR_GATECRASH) as server:
        figures = measure(server, Gatecrash(program), (part,), asked)
    return {names[metric]: value for metric, value in figures.items() if metric in names}


def measure(server: Server, generator: Generator, measured: tuple[str, ...], asked: argparse.Namespace) -> dict:
    """One round's figures of one generator, of the parts `measured`."""
    figures = {}
    if "handshakes" in measured:
        most = generator.slice // (8 if against.is_asked(asked) else 4 if asked.quick else 1)
        cpu_us, rate_per_s = between(*(generator.run(server, Load(number)) for number in (most // 10, most)))
        figures |= {"cpu_us": cpu_us, "rate_per_s": rate_per_s}
    if "held" in measured:
        hold_s = HOLD_SECONDS_AGAINST if against.is_asked(asked) else HOLD_SECONDS
        hold_s = HOLD_SECONDS_QUICK if asked.quick else hold_s
        sockets = (generator.held_sockets // 15, generator.held_sockets)
        few, many = (generator.run(server, Load(number, hold_s=hold_s)) for number in sockets)
        figures["rss_bytes"] = (many.rss_bytes_max - few.rss_bytes_max) / (many.done - few.done)
        figures["rss_mib_of_many"] = many.rss_bytes_max / 2**20
    if "rate" in measured:
        figures |= at_a_rate(server, generator, RATE_SECONDS_AGAINST if against.is_asked(asked) else RATE_SECONDS)
    return figures


def at_a_rate(server: Server, generator: Generator, rate_seconds: int) -> dict[str, float]:
    asked = RATE_PER_S * rate_seconds
    short, whole = (
        generator.run(server, Load(RATE_PER_S * seconds, rate_per_s=RATE_PER_S)) for seconds in (1, rate_seconds)
    )
    # The short one should have taken a second.
    seconds = whole.wall_s - short.wall_s + 1
    cpu_us, rate_per_s = between(short, whole)
    is_kept = whole.done >= asked * KEPT_SHARE_MIN and seconds <= rate_seconds * KEPT_TIME_MAX
    return {"is_kept": float(is_kept), "reached_per_s": min(rate_per_s, RATE_PER_S), "cpu_us_at_rate": cpu_us}


def between(least: Run, most: Run) -> tuple[float, float]:
    """Processor time per handshake, us, and handshakes per second, of what a run does more than another."""
    done = most.done - least.done
    return (most.cpu_s - least.cpu_s) * 1e6 / done, done / (most.wall_s - least.wall_s)


def summary(rounds: list[dict], generator: Generator) -> dict:
    """Medians of the rounds."""
    own = [figures[generator] for figures in rounds]
    row = {}
    for metric, (name, unit) in SUMMARY.items():
        if metric in own[0]:
            row[name] = median((figures[metric] for figures in own), unit)
    if "cpu_us" in own[0]:
        row |= spread("ratio", [figures[generator]["cpu_us"] / figures[BARE]["cpu_us"] for figures in rounds])
    if "is_kept" in own[0]:
        # In each of the rounds.
        row["schedule_held"] = (min(figures["is_kept"] for figures in own), "bool")
    return row


SUMMARY = {
    "rate_per_s": ("handshakes_per_s", "1/s"),
    "cpu_us": ("cpu_us_per_handshake", "us"),
    "rss_bytes": ("rss_bytes_per_socket", "B"),
    "reached_per_s": ("rate_reached", "1/s"),
    "cpu_us_at_rate": ("cpu_us_at_rate", "us"),
}

if __name__ == "__main__":
    main()
