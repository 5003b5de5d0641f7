"""One shard of the gate against two, on two cores.

    scripts/bench scaling [--json]

Two bare clients, one on each core, drive a gate of `--workers 1` pinned to one core, then one of `--workers 2` that has
both; rounds take turns. The clients need the same cores, and cost more than the gate: on a machine of two cores they
are the limit, and what tells whether shards cost each other anything is the gate's processor time per handshake.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import time

import contest
import observe
from contest import CLIENT_CPU, GATE, SERVER_CPU, Server, gatekeeper
from rows import as_json, as_table, spread, spread_column

ROUNDS = 9
HANDSHAKES = 20_000


def main() -> None:
    flags = argparse.ArgumentParser(prog="scripts/bench scaling")
    flags.add_argument("--json", action="store_true", help='print {"rows":[{"name","value","unit"}]}')
    asked = flags.parse_args()
    contest.raise_descriptors()
    both = (CLIENT_CPU, SERVER_CPU)
    two = dataclasses.replace(GATE, name="2 workers", command=gatekeeper("--workers", "2", "--pin", "{},{}".format(*both)))
    one = dataclasses.replace(GATE, name="1 worker")
    with Server(one) as one_shard, Server(two, cpus=both) as two_shards:
        one_shard.check()
        two_shards.check()
        slices = [(measure(one_shard), measure(two_shards)) for _ in range(ROUNDS)]
    figures = {}
    for place, server in enumerate((one, two)):
        ratios = [pair[place][1] / pair[0][1] for pair in slices]
        figures[server.name] = {
            "handshakes_per_s": (statistics.median(pair[place][0] for pair in slices), "1/s"),
            "cpu_us": (statistics.median(pair[place][1] for pair in slices), "us"),
            **spread("cpu_ratio", ratios),
        }
    print(as_json("scaling", figures) if asked.json else as_table(figures, COLUMNS))


def measure(server: Server) -> tuple[float, float]:
    """Handshakes per second of both clients together, and the gate's microseconds for each."""
    before_ns, began = observe.settled_cpu_ns(server.pid), time.monotonic()
    commands = [server.client("-n", HANDSHAKES, cpus=(cpu,)) for cpu in (CLIENT_CPU, SERVER_CPU)]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    done = sum(json.loads(client.communicate()[0])["done"] for client in clients)
    seconds = time.monotonic() - began
    if done != 2 * HANDSHAKES:
        contest.fail(f"{server.contestant.name} let {done} of {2 * HANDSHAKES} in")
    return done / seconds, (observe.settled_cpu_ns(server.pid) - before_ns) / done / 1000


COLUMNS = {
    "handshakes/s": lambda row: f"{row['handshakes_per_s'][0]:,.0f}",
    "CPU us": lambda row: f"{row['cpu_us'][0]:.1f}",
    "ratio": spread_column("cpu_ratio"),
}

if __name__ == "__main__":
    main()
