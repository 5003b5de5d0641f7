"""Restarts the gate under load, again and again, each server taking the listeners over from the one before.

Two clients knock on schedules that nothing delays, one for raw WebSockets, one for Socket.IO. It fails when one
connection is refused or reset, or when one handshake does not get done.
"""

import argparse
import tempfile
import threading
import time

from prove_gate import Client, Gate

RATES_PER_S = {"websocket": 1000, "socketio": 500}
RESTART_EVERY_S = 2
# How many processes each server has, in turn.
PROCESSES = [1, 2, 3]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, required=True)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        started = []
        try:
            faults = restart(seconds, f"--takeover={folder}/gate.sock", started)
        finally:
            for one in started:
                one.kill()
    for fault in faults:
        print(f"FAILED: {fault}")
    raise SystemExit(1 if faults else 0)


def restart(seconds, takeover, started):
    gate = Gate(takeover, "--workers=1")
    started.append(gate)
    clients = [
        Client(gate.address, "--protocol", protocol, "--rate", rate, "-n", rate * seconds)
        for protocol, rate in RATES_PER_S.items()
    ]
    started.extend(clients)
    told = []
    waiting = [threading.Thread(target=lambda client=client: told.append(client.says())) for client in clients]
    for thread in waiting:
        thread.start()
    restarts, codes = 0, []
    while any(thread.is_alive() for thread in waiting):
        time.sleep(RESTART_EVERY_S)
        restarts += 1
        processes = PROCESSES[restarts % len(PROCESSES)]
        successor = Gate(takeover, f"--processes={processes}", "--workers=1", listen=gate.address)
        started.append(successor)
        codes.append(gate.ends(within_s=20))
        gate = successor
    for thread in waiting:
        thread.join()
    gate.process.terminate()
    codes.append(gate.ends(within_s=20))
    done, failed = (sum(one[what] for one in told) for what in ["done", "failed"])
    rate_per_s = sum(one["done"] / one["wall_s"] for one in told)
    print(f"handshakes  {done:,} done, {failed:,} failed, {rate_per_s:,.0f}/s")
    print(f"restarts    {restarts}, with {' and '.join(map(str, PROCESSES))} processes in turn")
    return [
        fault
        for fault, is_so in [
            ("handshakes failed", failed != 0),
            ("a server did not end in order", any(code != 0 for code in codes)),
            ("no restart fell into the load", restarts < 2),
        ]
        if is_so
    ]


main()
