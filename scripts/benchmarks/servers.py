"""The gate beside the floor and its rivals: what one authenticated handshake and one idle socket cost each.

All servers run at once, each alone on one core while it is its turn; the bare client loads them from another core.
Rounds are interleaved: each goes through all servers, and a ratio is of two slices of one round, so that a disturbance
of the machine falls on both. Each server must first accept valid tokens and refuse forged ones.

    handshakes/s    64 handshakes at once, each closed by a reset as soon as it is authenticated; the client's core
                    may be the limit
    CPU us          processor time of the server per handshake, in the same slices
    ratio           to the floor's in the same round: median [min-max]
    both ends us    the same of server and client together. On loopback the kernel does much of a receiver's work in
                    the sender's time, so what one end saves the other may pay
    RSS, kernel     per idle authenticated socket, over the warm server's; the kernel's part is half of what both ends
                    of the connection take
    p50, p99        from the planned instant to authenticated, at 500/s, as `gatecrash run` measures it; the floor
                    then computes the accept keys, which gatecrash checks
"""

import contextlib
import pathlib

import against
import contest
from contest import ALL, FLOOR, FLOOR_FOR_GATECRASH, GATE, GATE_SOCKETIO, QUICK, Contestant, ContestServer, Slice
from figures import arguments, column, median, show, spread, spread_column, to_table
from harness.programs import GATEKEEPER, note, raise_descriptor_limit
from latency import latency

# What a plain epoll server in C took per handshake on the machine of the first measurements, microseconds.
FLOOR_CPU_US_KNOWN = 25

ROUNDS = 7
AT_A_RATE = (3000, ("--rate", 3000))
# Further ways of loading the floor and the gate: handshakes in a slice of half a second (or as many as the rate
# makes in one), and the client's flags.
LOADS = {
    "reset": (None, ()),
    "fin": (None, ("--close", "fin")),
    "frame": (None, ("--close", "frame")),
    "3000_per_s": AT_A_RATE,
}
# Those that are measured under all of them.
IN_ALL_LOADS = (FLOOR, GATE, GATE_SOCKETIO)
IDLE_SOCKETS = {GATE: 15_000, GATE_SOCKETIO: 15_000}
IDLE_SOCKETS_OF_OTHERS = 10_000
IDLE_SOCKETS_QUICK = 2000
LATENCY_SECONDS = 3


def main() -> None:
    parser = arguments(__doc__, quick="the floor, the gate and one rival, 2 rounds, few sockets", rounds=ROUNDS)
    against.add_arguments(parser)
    asked = parser.parse_args()
    raise_descriptor_limit()
    if against.is_asked(asked):
        old = against.old_program(asked, "gatekeeper")
        against.compare([lambda program: measure_program(program, asked.quick)], GATEKEEPER, old, asked)
    contestants = QUICK if asked.quick else ALL
    rounds = asked.rounds or (2 if asked.quick else ROUNDS)
    figures = {contestant.name: {} for contestant in contestants}
    measure_handshakes(contestants, rounds, figures)
    for contestant in contestants:
        sockets = IDLE_SOCKETS_QUICK if asked.quick else IDLE_SOCKETS.get(contestant, IDLE_SOCKETS_OF_OTHERS)
        figures[contestant.name] |= contest.idle_memory(contestant, sockets)
        note(f"{contestant.name}: {sockets} idle sockets measured")
    for contestant in contestants:
        figures[contestant.name] |= at_a_fixed_rate(contestant, 1 if asked.quick else LATENCY_SECONDS)
    show("servers", figures, COLUMNS, asked.json)
    if not asked.json:
        show_loads(contestants, rounds, figures)


def measure_program(program: pathlib.Path, is_quick: bool) -> dict[str, float]:
    """The gate of that program, freshly started: processor time per handshake in three loads, memory per idle socket."""
    part = 10 if is_quick else 1
    raw = contest.gate("gatekeeper", program=program)
    socketio = contest.gate("gatekeeper-socketio", program=program, protocol="socketio")
    with ContestServer(raw) as server:
        server.check()
        rush = server.slice(raw.slice // part)
        number, flags = AT_A_RATE
        paced = server.slice(number // part, *flags)
    with ContestServer(socketio) as server:
        server.check()
        rush_socketio = server.slice(socketio.slice // part)
    memory = contest.idle_memory(raw, IDLE_SOCKETS_QUICK if is_quick else IDLE_SOCKETS[GATE])
    return {
        "raw rush, CPU us": rush.cpu_us,
        "raw 3,000/s, CPU us": paced.cpu_us,
        "Socket.IO rush, CPU us": rush_socketio.cpu_us,
        "idle socket, RSS B": memory["rss_bytes_per_socket"][0],
    }


def measure_handshakes(contestants: tuple[Contestant, ...], rounds: int, figures: dict) -> None:
    with contextlib.ExitStack() as stack:
        servers = {contestant: stack.enter_context(ContestServer(contestant)) for contestant in contestants}
        for server in servers.values():
            server.check()
        for load, (number, flags) in LOADS.items():
            slices = {contestant: [] for contestant in contestants if load == "reset" or contestant in IN_ALL_LOADS}
            for _ in range(rounds):
                for contestant, taken in slices.items():
                    taken.append(servers[contestant].slice(number or contestant.slice, *flags))
            for contestant, taken in slices.items():
                figures[contestant.name] |= summary(load, taken, slices[FLOOR])
            note(f"{load}: done")


def summary(load: str, slices: list[Slice], floors: list[Slice]) -> dict:
    pairs = list(zip(slices, floors))
    figures = {
        f"{load}_cpu_us": median((it.cpu_us for it in slices), "us"),
        **spread(f"{load}_ratio", [it.cpu_us / floor.cpu_us for it, floor in pairs]),
        f"{load}_both_us": median((it.both_us for it in slices), "us"),
        **spread(f"{load}_both_ratio", [it.both_us / floor.both_us for it, floor in pairs]),
    }
    if load == "reset":
        figures["handshakes_per_s"] = median((it.rate_per_s for it in slices), "1/s")
    return figures


def at_a_fixed_rate(contestant: Contestant, seconds: int) -> dict:
    """Percentiles of the handshake with a server of its own."""
    with ContestServer(FLOOR_FOR_GATECRASH if contestant is FLOOR else contestant) as server:
        server.handshakes(contestant.warmup)
        note(f"{contestant.name}: {seconds} s at a fixed rate")
        return latency(server, seconds)


def show_loads(contestants: tuple[Contestant, ...], rounds: int, figures: dict) -> None:
    print(f"\n{rounds} rounds. The floor takes {figures[FLOOR.name]['reset_cpu_us'][0]:.1f} us here, "
          f"{FLOOR_CPU_US_KNOWN} us where it was first measured.")
    for load in list(LOADS)[1:]:
        print(f"\nClosed in another way, or at a rate: {load}")
        print(to_table({it.name: figures[it.name] for it in contestants if it in IN_ALL_LOADS}, load_columns(load)))


def load_columns(load: str) -> dict:
    return {
        "CPU us": column(f"{load}_cpu_us"),
        "ratio": spread_column(f"{load}_ratio"),
        "both ends us": column(f"{load}_both_us"),
        "their ratio": spread_column(f"{load}_both_ratio"),
    }


COLUMNS = {
    "handshakes/s": column("handshakes_per_s", 0),
    **load_columns("reset"),
    "RSS B": column("rss_bytes_per_socket", 0),
    "kernel B": column("kernel_bytes_per_socket", 0),
    "p50 us": column("p50_us", 0),
    "p99 us": column("p99_us", 0),
}

if __name__ == "__main__":
    main()
