"""One shard of the gate against two, on two cores.

Two bare clients, one on each core, load a gate of `--workers 1` pinned to one core, then one of `--workers 2` that has
both; rounds take turns. The clients need the same cores, and cost more than the gate: on a machine of two cores they
are the limit, and what shows whether shards cost each other anything is the gate's processor time per handshake.
"""

import dataclasses
import time

from contest import GATE, ContestServer
from figures import arguments, column, median, show, spread, spread_column
from harness import observe
from harness.programs import CLIENT_CPU, SERVER_CPU, fail, gatekeeper, raise_descriptor_limit

ROUNDS = 9
HANDSHAKES = 20_000
BOTH = (CLIENT_CPU, SERVER_CPU)


def main() -> None:
    asked = arguments(__doc__).parse_args()
    raise_descriptor_limit()
    one = dataclasses.replace(GATE, name="1 worker")
    two = dataclasses.replace(GATE, name="2 workers", command=gatekeeper("--workers=2", "--pin={},{}".format(*BOTH)))
    with ContestServer(one) as one_shard, ContestServer(two, cpus=BOTH) as two_shards:
        one_shard.check()
        two_shards.check()
        slices = [(measure(one_shard), measure(two_shards)) for _ in range(ROUNDS)]
    figures = {}
    for place, contestant in enumerate((one, two)):
        figures[contestant.name] = {
            "handshakes_per_s": median((pair[place][0] for pair in slices), "1/s"),
            "cpu_us": median((pair[place][1] for pair in slices), "us"),
            **spread("cpu_ratio", [pair[place][1] / pair[0][1] for pair in slices]),
        }
    show("scaling", figures, COLUMNS, asked.json)


def measure(server: ContestServer) -> tuple[float, float]:
    """Handshakes per second of both clients together, and the gate's microseconds for each."""
    before_ns, began = observe.settled_cpu_ns(server.pid), time.monotonic()
    clients = [server.client("-n", HANDSHAKES, cpus=(cpu,)) for cpu in BOTH]
    done = sum(client.read_line()["done"] for client in clients)
    seconds = time.monotonic() - began
    for client in clients:
        client.kill()
    if done != 2 * HANDSHAKES:
        fail(f"{server.contestant.name} accepted {done} of {2 * HANDSHAKES}")
    return done / seconds, (observe.settled_cpu_ns(server.pid) - before_ns) / done / 1000


COLUMNS = {
    "handshakes/s": column("handshakes_per_s", 0),
    "CPU us": column("cpu_us"),
    "ratio": spread_column("cpu_ratio"),
}

if __name__ == "__main__":
    main()
