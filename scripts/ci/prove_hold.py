"""Holds sockets: as many as asked for, over several processes of the gate and of the client, and counts on both sides.

Half of the clients speak raw WebSocket, half Socket.IO. It fails when a handshake fails, when a socket is lost, when a
heartbeat is not answered, or when the two sides differ.
"""

import argparse
import math
import time

from prove_gate import SOCKETS_PER_ADDRESS, SOCKETS_PER_PROCESS, Client, Gate, by_process, kernel_bytes, timeouts

LOOK_EVERY_S = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--sockets", type=int, required=True)
    parser.add_argument("--processes", type=int, help="[default: as many as the sockets need]")
    parser.add_argument("--ping-interval-ms", type=int, default=25_000)
    parser.add_argument("--ping-timeout-ms", type=int, default=20_000)
    asked = parser.parse_args()
    processes = asked.processes or max(2, math.ceil(asked.sockets / SOCKETS_PER_PROCESS))
    gate = Gate(
        f"--processes={processes}",
        "--workers=1",
        f"--ping-interval={asked.ping_interval_ms}",
        f"--ping-timeout={asked.ping_timeout_ms}",
        "--handshake-timeout=60s",
    )
    clients = []
    try:
        faults = hold(asked, processes, gate, clients)
    finally:
        gate.kill()
        for client in clients:
            client.kill()
    for fault in faults:
        print(f"FAILED: {fault}")
    raise SystemExit(1 if faults else 0)


def hold(asked, processes, gate, clients):
    idle_bytes, kernel_before_bytes = gate.resident_bytes(), kernel_bytes()
    begun = time.monotonic()
    for number, count in enumerate(shares(asked.sockets, processes)):
        addresses = math.ceil(count / SOCKETS_PER_ADDRESS)
        sources = f"127.1.{number}.1-127.1.{number}.{addresses}"
        protocol = ["websocket", "socketio"][number % 2]
        flags = ["-n", count, "-c", 32, "--protocol", protocol, "--source-ip", sources, "--hold", "end"]
        clients.append(Client(gate.address, *flags))
    held = [client.says() for client in clients]
    opened_s = time.monotonic() - begun
    before = gate.metrics()
    resident_bytes = gate.resident_bytes() - idle_bytes
    in_kernel_bytes = kernel_bytes() - kernel_before_bytes

    counted = look(gate, asked, before)
    after = gate.metrics()
    held_s = time.monotonic() - begun - opened_s
    for client in clients:
        client.let_go()
    ended = [client.says() for client in clients]

    total = sum(one["held"] for one in held)
    heartbeats = sum(one["heartbeats"] for one in ended)
    # Each socket is asked an interval after it was last heard of and answers at once; a raw WebSocket is looked at again
    # only when the time for that answer is over.
    beat_ms = max(asked.ping_interval_ms, asked.ping_timeout_ms) * 1.02 + 100
    beats_each = int(held_s * 1000 / beat_ms)
    cpu_s = cpu(after) - cpu(before)
    print(f"processes of the gate            {processes}, {', '.join(by_process(after))} sockets each")
    print(f"sockets                          {total:,} of {asked.sockets:,}, opened within {opened_s:.1f} s")
    print(f"held                             {held_s:.0f} s, {sum(one['lost'] for one in ended)} lost")
    print(f"heartbeats answered              {heartbeats:,}, at least {beats_each} by each")
    print(f"sockets by the gate's own count  {', '.join(sorted({f'{count:,.0f}' for count in counted}))}")
    print(f"memory per socket                {resident_bytes / max(1, total):.0f} bytes of RSS in the gate")
    print(f"kernel memory per socket         {in_kernel_bytes / max(1, total):,.0f} bytes, both ends")
    print(f"processor time while held        {1e6 * cpu_s / held_s:.0f} us per second")
    return [
        fault
        for fault, is_so in [
            ("handshakes failed", any(one["failed"] for one in held) or total != asked.sockets),
            ("sockets were lost", any(one["lost"] for one in ended)),
            ("no heartbeat was due: hold for longer", beats_each == 0),
            ("heartbeats were not answered", heartbeats < beats_each * total),
            ("the gate gave peers up", timeouts(after) != 0),
            ("the gate counts otherwise", any(count != total for count in counted)),
            ("a process of the gate died", after["gatekeeper_process_restarts_total"] != 0),
        ]
        if is_so
    ]


def shares(sockets, processes):
    """Sockets of each client: as even as can be."""
    return [sockets // processes + (number < sockets % processes) for number in range(processes)]


def look(gate, asked, first):
    """The gate's count of sockets, now and again while they are held."""
    counted = [first["gatekeeper_sessions_open"]]
    until = time.monotonic() + asked.seconds
    while (left_s := until - time.monotonic()) > 0:
        time.sleep(min(left_s, LOOK_EVERY_S))
        counted.append(gate.metrics()["gatekeeper_sessions_open"])
    return counted


def cpu(figures):
    return sum(value for sample, value in figures.items() if sample.startswith("process_cpu_seconds_total"))


main()
