"""Load generators beside a bare client: what one handshake and one held socket cost each of them.

    scripts/bench generators [--json] [--quick] [--rounds N] [--only PART]

All drive the floor server, which has a core of its own and answers every key; the generator of the moment has another.
Rounds are interleaved, and a ratio is of two slices of one round. What a program takes to start and to write its
report is taken off: each slice is the difference of a long run and a short one. Before that each is held to its word by
the gate: with a good token it lets all of a generator's handshakes in, with a forged one none.

    handshakes/s    64 at once, as fast as they get done, each closed by a close frame as soon as it is authenticated
                    (Artillery and tsung know arrivals alone: about as many as saturate their core)
    CPU us          processor time of the generator, all its threads, per handshake
    ratio           to the bare client's in the same round: median [min-max]
    RSS             per held socket: the same run with many sockets and with few
    3,000/s         whether it began and ended 3,000 handshakes a second for five seconds, and what it spent on each
"""

import argparse
import statistics
import urllib.request

import contest
from rivals import BARE, FLOOR, GATECRASH, RIVALS, Generator, Load, Run, install
from rows import as_json, as_table, note, spread, spread_column

# What a bare epoll client in C took per handshake on the machine of the first measurements, microseconds.
BARE_CPU_US_KNOWN = 41
CHECKED = 200
# Longer than the slowest takes to open its sockets.
HOLD_SECONDS, HOLD_SECONDS_QUICK = 4, 1
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
    if not asked.only:
        with contest.Server(contest.GATE) as gate:
            for generator in generators:
                check(gate, generator)
    rounds = []
    with contest.Server(FLOOR) as server:
        for number in range(asked.rounds or (2 if asked.quick else 3)):
            rounds.append({generator: measure(server, generator, asked) for generator in generators})
            note(f"round {number + 1} done")
    figures = {generator.name: summary(rounds, generator) for generator in generators}
    if asked.json:
        print(as_json("generators", figures))
        return
    print(as_table(figures, {name: column for part in parts(asked) for name, column in COLUMNS[part].items()}))
    if "handshakes" not in parts(asked):
        return
    print(f"\nThe bare client takes {figures[BARE.name]['cpu_us_per_handshake'][0]:.1f} us here, {BARE_CPU_US_KNOWN} us "
          "where it was first measured.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench generators", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help='{"rows":[{"name","value","unit"}]}')
    parser.add_argument("--quick", action="store_true", help="the bare client and gatecrash alone, in a few seconds")
    parser.add_argument("--rounds", type=int, help="interleaved rounds [default: 3; 2 where it is quick]")
    parser.add_argument("--only", choices=PARTS, help="one part alone, and tokens are not checked again")
    return parser.parse_args()


def parts(asked: argparse.Namespace) -> tuple[str, ...]:
    return (asked.only,) if asked.only else PARTS[:2] if asked.quick else PARTS


PARTS = ("handshakes", "held", "rate")
COLUMNS = {
    "handshakes": {
        "handshakes/s": lambda row: f"{row['handshakes_per_s'][0]:,.0f}",
        "CPU us": lambda row: f"{row['cpu_us_per_handshake'][0]:.1f}",
        "ratio": spread_column("ratio"),
    },
    "held": {"RSS B": lambda row: f"{row['rss_bytes_per_socket'][0]:,.0f}"},
    "rate": {
        "3,000/s": lambda row: "held" if row["schedule_held"][0] else f"{row['rate_reached'][0]:,.0f}/s",
        "CPU us at 3,000/s": lambda row: f"{row['cpu_us_at_rate'][0]:.1f}",
    },
}


def check(gate: contest.Server, generator: Generator) -> None:
    """Whether its handshakes really carry the token that it was given: the gate counts whom it let in."""
    before = let_in(gate)
    generator.run(gate, Load(CHECKED))
    good = let_in(gate)
    # However it ends: some call refusals a failure of their own.
    forged = generator.attempt(gate, Load(CHECKED, secret=contest.SECRET[::-1]))
    if (good - before, let_in(gate) - good, forged.done) != (CHECKED, 0, 0):
        contest.fail(f"{generator.name}: the gate let {good - before} of {CHECKED} in with a good token, and "
                     f"{let_in(gate) - good} with a forged one, of which it says that {forged.done} got done")
    note(f"{generator.name} authenticates")


def let_in(gate: contest.Server) -> int:
    """Handshakes that the gate has let in."""
    name = 'gatekeeper_handshakes_total{outcome="established"} '
    with urllib.request.urlopen(f"http://127.0.0.1:{gate.port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return next(int(line.removeprefix(name)) for line in lines if line.startswith(name))


def measure(server: contest.Server, generator: Generator, asked: argparse.Namespace) -> dict[str, float]:
    """One round's figures of one generator."""
    figures = {}
    if "handshakes" in parts(asked):
        most = generator.slice // 4 if asked.quick else generator.slice
        cpu_us, rate_per_s = between(*(generator.run(server, Load(number)) for number in (most // 10, most)))
        figures |= {"cpu_us": cpu_us, "rate_per_s": rate_per_s}
    if "held" in parts(asked):
        hold_s = HOLD_SECONDS_QUICK if asked.quick else HOLD_SECONDS
        sockets = (generator.held_sockets // 15, generator.held_sockets)
        few, many = (generator.run(server, Load(number, hold_s=hold_s)) for number in sockets)
        figures["rss_bytes"] = (many.rss_bytes_max - few.rss_bytes_max) / (many.done - few.done)
    if "rate" in parts(asked):
        figures |= at_a_rate(server, generator)
    return figures


def at_a_rate(server: contest.Server, generator: Generator) -> dict[str, float]:
    asked = RATE_PER_S * RATE_SECONDS
    short, whole = (
        generator.run(server, Load(RATE_PER_S * seconds, rate_per_s=RATE_PER_S)) for seconds in (1, RATE_SECONDS)
    )
    # The short one should have taken a second.
    seconds = whole.wall_s - short.wall_s + 1
    cpu_us, rate_per_s = between(short, whole)
    is_held = whole.done >= asked * HELD_SHARE_MIN and seconds <= RATE_SECONDS * HELD_TIME_MAX
    return {"is_held": float(is_held), "reached_per_s": min(rate_per_s, RATE_PER_S), "cpu_us_at_rate": cpu_us}


def between(least: Run, most: Run) -> tuple[float, float]:
    """Processor time per handshake, us, and handshakes per second, of what a run does more than another."""
    done = most.done - least.done
    return (most.cpu_s - least.cpu_s) * 1e6 / done, done / (most.wall_s - least.wall_s)


def summary(rounds: list[dict], generator: Generator) -> dict:
    """Medians of the rounds."""
    own = [figures[generator] for figures in rounds]
    median = lambda what: statistics.median(figures[what] for figures in own)  # noqa: E731
    row = {}
    if "cpu_us" in own[0]:
        ratios = [figures[generator]["cpu_us"] / figures[BARE]["cpu_us"] for figures in rounds]
        row |= {
            "handshakes_per_s": (median("rate_per_s"), "1/s"),
            "cpu_us_per_handshake": (median("cpu_us"), "us"),
            **spread("ratio", ratios),
        }
    if "rss_bytes" in own[0]:
        row["rss_bytes_per_socket"] = (median("rss_bytes"), "B")
    if "is_held" in own[0]:
        row |= {
            # In each of the rounds, or it is not.
            "schedule_held": (min(figures["is_held"] for figures in own), "bool"),
            "rate_reached": (median("reached_per_s"), "1/s"),
            "cpu_us_at_rate": (median("cpu_us_at_rate"), "us"),
        }
    return row


if __name__ == "__main__":
    main()
