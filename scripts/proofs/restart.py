"""Restarts the gate under load, again and again; each new gate takes the listeners over from the one before.

Two clients connect on schedules that nothing delays, one by raw WebSocket, one by Socket.IO. It fails when one
connection is refused or reset, or when one handshake is not completed.
"""

import argparse
import contextlib
import tempfile
import threading
import time

from gate import Gate
from harness.programs import BareClient, at_least_one, exit_with, raise_descriptor_limit

RATES_PER_S = {"websocket": 1000, "socketio": 500}
RESTART_EVERY_S = 2
ENDS_WITHIN_S = 20
# How many processes each gate has, in turn.
PROCESSES = [1, 2, 3]


def main():
    parser = argparse.ArgumentParser(prog="scripts/prove restart", description=__doc__)
    parser.add_argument("seconds", type=at_least_one, nargs="?", default=60)
    seconds = parser.parse_args().seconds
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as started:
        faults = restart(seconds, f"--takeover={folder}/gate.sock", started)
    exit_with(faults)


def restart(seconds, takeover, started):
    gate = started.enter_context(Gate(takeover, "--workers=1"))
    clients = [
        started.enter_context(BareClient(gate, "--protocol", protocol, "--rate", rate, "-n", rate * seconds))
        for protocol, rate in RATES_PER_S.items()
    ]
    counts = []
    readers = [threading.Thread(target=lambda client=client: counts.append(client.read_line())) for client in clients]
    for reader in readers:
        reader.start()
    exit_codes = []
    while any(reader.is_alive() for reader in readers):
        time.sleep(RESTART_EVERY_S)
        processes = PROCESSES[(len(exit_codes) + 1) % len(PROCESSES)]
        flags = (takeover, f"--processes={processes}", "--workers=1")
        successor = started.enter_context(Gate(*flags, listen=gate.address))
        exit_codes.append(gate.wait(ENDS_WITHIN_S))
        gate = successor
    for reader in readers:
        reader.join()
    restarts = len(exit_codes)
    exit_codes.append(gate.terminate(ENDS_WITHIN_S))
    done, failed = (sum(one[count] for one in counts) for count in ("done", "failed"))
    rate_per_s = sum(one["done"] / one["wall_s"] for one in counts)
    print(f"handshakes  {done:,} done, {failed:,} failed, {rate_per_s:,.0f}/s")
    print(f"restarts    {restarts}, with {' and '.join(map(str, PROCESSES))} processes in turn")
    return {
        "a client ended without a result": len(counts) != len(clients),
        "handshakes failed": failed != 0,
        "a gate ended with an error": any(code != 0 for code in exit_codes),
        "the load ended before the second restart": restarts < 2,
    }


if __name__ == "__main__":
    main()
