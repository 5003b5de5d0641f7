"""The gate holds sockets, over several of its processes, while bare clients answer its heartbeats; both sides count.

Half of the clients speak raw WebSocket, half Socket.IO. It fails when a handshake fails, when a socket is lost, when a
heartbeat is not answered, or when the two sides differ.
"""

import argparse
import contextlib
import math
import time

from gate import SOCKETS_PER_ADDRESS, SOCKETS_PER_PROCESS, Gate, ping_timeouts, sockets_by_process
from harness.observe import kernel_bytes
from harness.programs import BareClient, at_least_one, exit_with, raise_descriptor_limit

COUNT_EVERY_S = 10


def main():
    parser = argparse.ArgumentParser(prog="scripts/prove gate-holds-sockets", description=__doc__)
    parser.add_argument("seconds", type=at_least_one, nargs="?", default=600)
    parser.add_argument("sockets", type=at_least_one, nargs="?", default=100_000)
    parser.add_argument("--processes", type=at_least_one, help="[default: as many as the sockets need]")
    parser.add_argument("--ping-interval-ms", type=at_least_one, default=25_000)
    parser.add_argument("--ping-timeout-ms", type=at_least_one, default=20_000)
    asked = parser.parse_args()
    raise_descriptor_limit()
    processes = asked.processes or max(2, math.ceil(asked.sockets / SOCKETS_PER_PROCESS))
    flags = (f"--processes={processes}", "--workers=1", "--handshake-timeout=60s")
    pings = (f"--ping-interval={asked.ping_interval_ms}", f"--ping-timeout={asked.ping_timeout_ms}")
    with contextlib.ExitStack() as stack:
        gate = stack.enter_context(Gate(*flags, *pings))
        faults = hold(asked, processes, gate, stack)
    exit_with(faults)


def hold(asked, processes, gate, stack):
    """Opens the sockets, counts while they are held, closes them and prints the figures. Faults by whether they are so."""
    idle_bytes, kernel_before_bytes = gate.resident_bytes(), kernel_bytes()
    begun = time.monotonic()
    clients = [stack.enter_context(client) for client in start_clients(asked, processes, gate)]
    held = [client.read_line() for client in clients]
    opened_s = time.monotonic() - begun
    before = gate.metrics()
    memory = gate.resident_bytes() - idle_bytes, kernel_bytes() - kernel_before_bytes
    counted = count_while_held(gate, asked.seconds, before)
    after = gate.metrics()
    held_s = time.monotonic() - begun - opened_s
    for client in clients:
        client.release()
    ended = [client.read_line() for client in clients]

    total = sum(one["held"] for one in held)
    heartbeats, lost = (sum(one[count] for one in ended) for count in ("heartbeats", "lost"))
    # A socket is pinged an interval after its last message and answers at once; a raw WebSocket is checked again only
    # when the time for that answer is over.
    beat_ms = max(asked.ping_interval_ms, asked.ping_timeout_ms) * 1.02 + 100
    beats_each = int(held_s * 1000 / beat_ms)
    print(f"processes of the gate            {processes}, {', '.join(sockets_by_process(after))} sockets each")
    print(f"sockets                          {total:,} of {asked.sockets:,}, opened within {opened_s:.1f} s")
    print(f"held                             {held_s:.0f} s, {lost} lost")
    print(f"heartbeats answered              {heartbeats:,}, at least {beats_each} by each")
    print(f"sockets by the gate's own count  {', '.join(sorted({f'{count:,.0f}' for count in counted}))}")
    print(f"memory per socket                {memory[0] / max(1, total):.0f} bytes of RSS in the gate")
    print(f"kernel memory per socket         {memory[1] / max(1, total):,.0f} bytes, both ends")
    print(f"processor time while held        {1e6 * (cpu_s(after) - cpu_s(before)) / held_s:.0f} us per second")
    return {
        "handshakes failed": any(one["failed"] for one in held) or total != asked.sockets,
        "sockets were lost": lost,
        "no heartbeat was due: hold for longer": beats_each == 0,
        "heartbeats were not answered": heartbeats < beats_each * total,
        "the gate closed sockets after a ping timeout": ping_timeouts(after) != 0,
        "the gate's count differs": any(count != total for count in counted),
        "a process of the gate died": after["gatekeeper_process_restarts_total"] != 0,
    }


def start_clients(asked, processes, gate):
    """As many clients as processes, with equal shares of the sockets."""
    for number in range(processes):
        sockets = asked.sockets // processes + (number < asked.sockets % processes)
        addresses = f"127.1.{number}.1-127.1.{number}.{math.ceil(sockets / SOCKETS_PER_ADDRESS)}"
        protocol = ["websocket", "socketio"][number % 2]
        flags = ("-n", sockets, "-c", 32, "--protocol", protocol, "--source-ip", addresses, "--hold", "end")
        yield BareClient(gate, *flags)


def count_while_held(gate, seconds, first):
    """The gate's count of sockets, every few seconds."""
    counted = [first["gatekeeper_sessions_open"]]
    until = time.monotonic() + seconds
    while (left_s := until - time.monotonic()) > 0:
        time.sleep(min(left_s, COUNT_EVERY_S))
        counted.append(gate.metrics()["gatekeeper_sessions_open"])
    return counted


def cpu_s(metrics):
    return sum(value for name, value in metrics.items() if name.startswith("process_cpu_seconds_total"))


if __name__ == "__main__":
    main()
