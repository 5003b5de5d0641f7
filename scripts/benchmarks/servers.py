"""The gate beside its floor and its rivals: what one authenticated handshake and one idle socket cost each.

    scripts/bench servers [--json] [--quick] [--rounds N]

All servers run at once, each alone on one core while it is its turn; the bare client drives them from another core.
Rounds are interleaved: each goes through all servers, and a ratio is of two slices of one round, so that what the
machine does meanwhile falls on both. Each server must let good tokens in and refuse forged ones first.

    handshakes/s    64 handshakes at once, each closed by a reset as soon as it is authenticated; the client's core
                    may be the limit
    CPU us          processor time of the server per handshake, in the same slices
    ratio           to the floor's in the same round: median [min-max]
    both ends us    the same of server and client together. On loopback the kernel does much of a receiver's work in
                    the sender's time, so what one end is spared the other may pay
    RSS, kernel     per idle authenticated socket, over what the warm server had before; the kernel's part is half of
                    what both ends of the connection take
    p50, p99        from the planned instant to authenticated, at 500/s, as `gatecrash run` measures it; the floor
                    then works out the accept keys, which gatecrash checks
"""

import argparse
import contextlib
import statistics

import contest
import observe
from contest import ALL, FLOOR, FLOOR_WITH_KEYS, GATE, GATE_SOCKETIO, QUICK, Contestant, Held, Server, Slice
from latency import latency
from rows import as_json, as_table, note, spread, spread_column

# What a plain epoll server in C took per handshake on the machine of the first measurements, microseconds.
FLOOR_CPU_US_KNOWN = 25

ROUNDS = 7
# Further ways of loading the floor and the gate: handshakes in a slice of half a second (or as many as the rate
# makes in one), and the client's flags.
LOADS = {
    "reset": (None, ()),
    "fin": (None, ("--close", "fin")),
    "frame": (None, ("--close", "frame")),
    "3000_per_s": (3000, ("--rate", 3000)),
}
# Those that are measured under all of them.
IN_ALL_LOADS = (FLOOR, GATE, GATE_SOCKETIO)
IDLE_SOCKETS = {GATE: 15_000, GATE_SOCKETIO: 15_000}
IDLE_SOCKETS_OF_OTHERS = 10_000
LATENCY_SECONDS = 3


def main() -> None:
    flags = argparse.ArgumentParser(prog="scripts/bench servers")
    flags.add_argument("--json", action="store_true", help='print {"rows":[{"name","value","unit"}]}')
    flags.add_argument("--quick", action="store_true", help="the floor, the gate and one rival, 2 rounds, few sockets")
    flags.add_argument("--rounds", type=int, default=None)
    asked = flags.parse_args()
    contest.raise_descriptors()
    contestants = QUICK if asked.quick else ALL
    rounds = asked.rounds or (2 if asked.quick else ROUNDS)
    figures = {contestant.name: {} for contestant in contestants}
    measure_handshakes(contestants, rounds, figures)
    for contestant in contestants:
        sockets = 2000 if asked.quick else IDLE_SOCKETS.get(contestant, IDLE_SOCKETS_OF_OTHERS)
        figures[contestant.name] |= idle(contestant, sockets)
    for contestant in contestants:
        figures[contestant.name] |= at_a_fixed_rate(contestant, 1 if asked.quick else LATENCY_SECONDS)
    if asked.json:
        print(as_json("servers", figures))
        return
    print(as_table(figures, COLUMNS))
    print(f"\n{rounds} rounds. The floor takes {figures[FLOOR.name]['reset_cpu_us'][0]:.1f} us here, "
          f"{FLOOR_CPU_US_KNOWN} us where it was first measured.")
    for load in list(LOADS)[1:]:
        print(f"\nClosed otherwise, or at a rate: {load}")
        print(as_table({it.name: figures[it.name] for it in contestants if it in IN_ALL_LOADS}, load_columns(load)))


def load_columns(load: str) -> dict:
    return {
        "CPU us": lambda row: f"{row[f'{load}_cpu_us'][0]:.1f}",
        "ratio": spread_column(f"{load}_ratio"),
        "both ends us": lambda row: f"{row[f'{load}_both_us'][0]:.1f}",
        "their ratio": spread_column(f"{load}_both_ratio"),
    }


COLUMNS = {
    "handshakes/s": lambda row: f"{row['handshakes_per_s'][0]:,.0f}",
    **load_columns("reset"),
    "RSS B": lambda row: f"{row['rss_bytes_per_socket'][0]:,.0f}",
    "kernel B": lambda row: f"{row['kernel_bytes_per_socket'][0]:,.0f}",
    "p50 us": lambda row: f"{row['p50_us'][0]:,.0f}",
    "p99 us": lambda row: f"{row['p99_us'][0]:,.0f}",
}


def measure_handshakes(contestants: tuple[Contestant, ...], rounds: int, figures: dict) -> None:
    with contextlib.ExitStack() as stack:
        servers = {contestant: stack.enter_context(Server(contestant)) for contestant in contestants}
        for server in servers.values():
            server.check()
        for load, (number, flags) in LOADS.items():
            slices = {contestant: [] for contestant in contestants if load == "reset" or contestant in IN_ALL_LOADS}
            for _ in range(rounds):
                for contestant, taken in slices.items():
                    taken.append(servers[contestant].slice(number or contestant.slice, *flags))
            for contestant, taken in slices.items():
                figures[contestant.name] |= summed_up(load, taken, slices[FLOOR])
            note(f"{load}: done")


def summed_up(load: str, slices: list[Slice], floors: list[Slice]) -> dict:
    pairs = list(zip(slices, floors))
    figures = {
        f"{load}_cpu_us": (statistics.median(it.cpu_us for it in slices), "us"),
        **spread(f"{load}_ratio", [it.cpu_us / floor.cpu_us for it, floor in pairs]),
        f"{load}_both_us": (statistics.median(it.both_us for it in slices), "us"),
        **spread(f"{load}_both_ratio", [it.both_us / floor.both_us for it, floor in pairs]),
    }
    if load == "reset":
        figures["handshakes_per_s"] = (statistics.median(it.rate_per_s for it in slices), "1/s")
    return figures


def idle(contestant: Contestant, sockets: int) -> dict:
    """What an idle authenticated socket takes, by so many of them in a server of their own."""
    with Server(contestant) as server:
        server.handshakes(contestant.warmup)
        observe.settled_cpu_ns(server.pid)
        rss_bytes, kernel_bytes = observe.rss_bytes(server.pid), observe.kernel_bytes()
        with Held(server, sockets):
            observe.settled_cpu_ns(server.pid)
            rss_bytes = observe.rss_bytes(server.pid) - rss_bytes
            kernel_bytes = observe.kernel_bytes() - kernel_bytes
    note(f"{contestant.name}: {sockets} idle sockets measured")
    return {
        "rss_bytes_per_socket": (rss_bytes / sockets, "B"),
        "kernel_bytes_per_socket": (kernel_bytes / sockets / 2, "B"),
    }


def at_a_fixed_rate(contestant: Contestant, seconds: int) -> dict:
    """Percentiles of the handshake with a server of its own."""
    if contestant is FLOOR:
        contestant = FLOOR_WITH_KEYS
    with Server(contestant) as server:
        server.handshakes(contestant.warmup)
        note(f"{contestant.name}: {seconds} s at a fixed rate")
        return latency(server, seconds)


if __name__ == "__main__":
    main()
