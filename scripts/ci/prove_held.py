"""Holds sockets by `gatecrash run --processes`: its users log in, each socket has a token of its own from the token
endpoint, and both sides count.

Against a gatekeeper of several processes, frontend included. It fails when a login, a token or a handshake fails, when a
socket is lost, when the gate gives up a peer whose heartbeat was not answered, or when the two sides differ.
"""

import argparse
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path

from prove_gate import ROOT, SOCKETS_PER_ADDRESS, SOCKETS_PER_PROCESS, Gate, by_process, kernel_bytes, timeouts

GATECRASH = ROOT / "target/release/gatecrash"
# Of "password", at OWASP's least cost of Argon2id: 19 MiB, 2 passes, 1 lane.
HASH = "$argon2id$v=19$m=19456,t=2,p=1$EpX0iMLCpkPGfQGExoMZsg$o2Zsa+lSgAqPDRU5D4iKG8WgfcbTNiFi3ZdUVvdOGtU"
LOOK_EVERY_S = 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, required=True, help="that all sockets are held together")
    parser.add_argument("--sockets", type=int, required=True)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=1500, help="handshakes per second")
    parser.add_argument("--processes", type=int, help="of the gate and of the load [default: as many as the sockets need]")
    parser.add_argument("--ping-interval-ms", type=int, default=25_000)
    parser.add_argument("--ping-timeout-ms", type=int, default=20_000)
    parser.add_argument("--out", help="where the result goes [default: thrown away]")
    asked = parser.parse_args()
    processes = asked.processes or max(2, math.ceil(asked.sockets / SOCKETS_PER_PROCESS))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        names = [f"user-{number}" for number in range(asked.users)]
        (folder / "hashes").write_text("".join(f"{name},{HASH}\n" for name in names))
        (folder / "users.csv").write_text("".join(f"{name},password\n" for name in names))
        gate = Gate(
            "--frontend-listen=127.0.0.1:0",
            f"--users={folder / 'hashes'}",
            f"--processes={processes}",
            "--workers=1",
            f"--ping-interval={asked.ping_interval_ms}",
            f"--ping-timeout={asked.ping_timeout_ms}",
            role="both",
        )
        try:
            faults = hold(asked, processes, gate, folder)
        finally:
            gate.kill()
    for fault in faults:
        print(f"FAILED: {fault}")
    raise SystemExit(1 if faults else 0)


def hold(asked, processes, gate, folder):
    out = Path(asked.out) if asked.out else folder / "out"
    # The first socket is held until the last has been for as long as was asked.
    opening_s = math.ceil(asked.sockets / asked.rate)
    addresses = math.ceil(asked.sockets / SOCKETS_PER_ADDRESS)
    command = [
        GATECRASH, "run", "--no-tui", "--target", f"http://{gate.address}",
        "--login-url", f"{gate.frontend}/login", "--token-url", f"{gate.frontend}/getIoConnectionToken",
        "--users", folder / "users.csv", "--connections", asked.sockets, "--rate", f"{asked.rate}/s",
        "--hold", f"{opening_s + asked.seconds}s", "--processes", processes, "--workers", 1,
        "--source-ip", f"127.1.0.1-127.1.0.{addresses}", "--threshold", "errors==0", "--out", out,
    ]  # fmt: skip
    idle_bytes, kernel_before_bytes = gate.resident_bytes(), kernel_bytes()
    load = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    counted, held_bytes, in_kernel_bytes, last = [], 0, 0, {}
    while load.poll() is None:
        looked_at = time.monotonic()
        last = gate.metrics()
        counted.append(last["gatekeeper_sessions_open"])
        if counted[-1] == asked.sockets and not held_bytes:
            held_bytes, in_kernel_bytes = gate.resident_bytes() - idle_bytes, kernel_bytes() - kernel_before_bytes
            spread = by_process(last)
        try:
            load.wait(max(0, looked_at + LOOK_EVERY_S - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
    last = gate.metrics()
    told = load.stdout.read()
    if not (out / "result.json").exists():
        return [f"there is no result (exit code {load.returncode}): {told}"]
    result = json.loads((out / "result.json").read_text())
    totals, tokens, generator = result["totals"], result["tokens"], result["generator"]
    logins = result["phases"]["login"]["count"]
    ours = max(row["held"] for row in result["intervals"])
    together_s = sum(count == asked.sockets for count in counted) * LOOK_EVERY_S
    handshake = result["phases"]["handshake"]["response"]
    print(f"processes of load and gate       {processes} each{'' if not held_bytes else ': ' + ', '.join(spread) + ' sockets of the gate'}")
    print(f"logins, tokens                   {logins:,} users, {tokens['requests']:,} requests for a token, {tokens['failures']} failed")
    print(f"sockets                          {totals['established']:,} of {asked.sockets:,} at {asked.rate}/s")
    print(f"handshake p50, p99               {handshake['p50_us'] / 1e3:.2f} ms, {handshake['p99_us'] / 1e3:.2f} ms")
    print(f"lag p99                          {generator['lag_p99_us'] / 1e3:.2f} ms; {', '.join(result['validity']['reasons']) or 'valid'}")
    print(f"most held at once                {ours:,} by our count, {max(counted):,.0f} by the gate's")
    print(f"all of them held together        {together_s} s, {result['sockets']['dropped']} lost, {timeouts(last):.0f} given up by the gate")
    print(f"memory per socket                {held_bytes / asked.sockets:.0f} bytes of RSS in the gate, {generator['rss_bytes_peak'] / asked.sockets:.0f} in the load, all of it")
    print(f"kernel memory per socket         {in_kernel_bytes / asked.sockets:,.0f} bytes, both ends")
    beat_s = (asked.ping_interval_ms + asked.ping_timeout_ms) / 1000
    return [
        fault
        for fault, is_so in [
            (f"the run left with {load.returncode}: {result['verdict']['sentence']}", load.returncode not in (0, 97)),
            ("logins failed", logins != asked.users),
            ("tokens failed", tokens["failures"] or tokens["requests"] != asked.sockets),
            ("handshakes failed", totals["established"] != asked.sockets),
            ("sockets were lost", result["sockets"]["dropped"]),
            ("the gate gave peers up", timeouts(last) != 0),
            ("the gate counts otherwise", max(counted) != asked.sockets or ours != asked.sockets),
            ("they were not held together for a heartbeat: hold for longer", together_s < beat_s),
            ("a process of the gate died", last["gatekeeper_process_restarts_total"] != 0),
        ]
        if is_so
    ]


main()
