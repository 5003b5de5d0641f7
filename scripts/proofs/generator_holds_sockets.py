"""The generator holds sockets: `gatecrash run --processes` logs its users in, fetches a token from the token endpoint for
each socket and holds them all; both sides count.

Against a gatekeeper of several processes, frontend included. It fails when a login, a token or a handshake fails, when a
socket is lost, when the gate closes one whose heartbeat was not answered, or when the two sides differ.
"""

import argparse
import contextlib
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path

from gate import SOCKETS_PER_ADDRESS, SOCKETS_PER_PROCESS, Gate, ping_timeouts, sockets_by_process
from harness import gatecrash
from harness.observe import kernel_bytes
from harness.programs import at_least_one, exit_with, fail, raise_descriptor_limit

# Of "password", at OWASP's lowest cost of Argon2id: 19 MiB, 2 passes, 1 lane.
HASH = "$argon2id$v=19$m=19456,t=2,p=1$EpX0iMLCpkPGfQGExoMZsg$o2Zsa+lSgAqPDRU5D4iKG8WgfcbTNiFi3ZdUVvdOGtU"
COUNT_EVERY_S = 1


def main():
    asked = arguments()
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as folder, start_gate(asked, Path(folder)) as gate:
        exit_with(hold(asked, gate, Path(folder)))


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/prove generator-holds-sockets", description=__doc__)
    parser.add_argument("seconds", type=at_least_one, nargs="?", default=60, help="that all sockets are held together")
    parser.add_argument("sockets", type=at_least_one, nargs="?", default=100_000)
    parser.add_argument("--users", type=at_least_one, default=1000)
    parser.add_argument("--rate", type=at_least_one, default=1500, help="handshakes per second")
    parser.add_argument("--processes", type=at_least_one, help="of gate and load [default: as many as needed]")
    parser.add_argument("--ping-interval-ms", type=at_least_one, default=25_000)
    parser.add_argument("--ping-timeout-ms", type=at_least_one, default=20_000)
    parser.add_argument("--out", type=Path, help="where to keep the result [default: nowhere]")
    asked = parser.parse_args()
    asked.processes = asked.processes or max(2, math.ceil(asked.sockets / SOCKETS_PER_PROCESS))
    return asked


def start_gate(asked, folder):
    """With its frontend and the users that will log in."""
    names = [f"user-{number}" for number in range(asked.users)]
    (folder / "hashes").write_text("".join(f"{name},{HASH}\n" for name in names))
    (folder / "users.csv").write_text("".join(f"{name},password\n" for name in names))
    pings = (f"--ping-interval={asked.ping_interval_ms}", f"--ping-timeout={asked.ping_timeout_ms}")
    flags = ("--frontend-listen=127.0.0.1:0", f"--users={folder / 'hashes'}", f"--processes={asked.processes}")
    return Gate(*flags, "--workers=1", *pings, role="both")


def hold(asked, gate, folder):
    """One run of gatecrash, watched from the gate's side. Faults by whether they are so."""
    out = asked.out or folder / "out"
    idle_bytes, kernel_before_bytes = gate.resident_bytes(), kernel_bytes()
    load = subprocess.Popen(command(asked, gate, folder, out), stdout=subprocess.PIPE, text=True)
    counted, memory, by_process = [], (0, 0), []
    while load.poll() is None:
        due = time.monotonic() + COUNT_EVERY_S
        metrics = gate.metrics()
        counted.append(metrics["gatekeeper_sessions_open"])
        if counted[-1] == asked.sockets and not by_process:
            memory = gate.resident_bytes() - idle_bytes, kernel_bytes() - kernel_before_bytes
            by_process = sockets_by_process(metrics)
        with contextlib.suppress(subprocess.TimeoutExpired):
            load.wait(max(0, due - time.monotonic()))
    if not (out / "result.json").exists():
        fail(f"there is no result (exit code {load.returncode}): {load.stdout.read()}")
    result = json.loads((out / "result.json").read_text())
    metrics = gate.metrics()
    show(asked, result, metrics, counted, memory, by_process)
    run_failed = f"the run exited with {load.returncode}: {result['verdict']['sentence']}"
    return {run_failed: load.returncode not in (0, gatecrash.INVALID), **faults(asked, result, metrics, counted)}


def command(asked, gate, folder, out):
    # The first socket is held until the last has been for as long as was asked.
    held_s = math.ceil(asked.sockets / asked.rate) + asked.seconds
    addresses = f"127.1.0.1-127.1.0.{math.ceil(asked.sockets / SOCKETS_PER_ADDRESS)}"
    logins = ("--login-url", f"{gate.frontend}/login", "--token-url", f"{gate.frontend}/getIoConnectionToken")
    load = ("--connections", asked.sockets, "--rate", f"{asked.rate}/s", "--hold", f"{held_s}s")
    shards = ("--processes", asked.processes, "--workers", 1, "--source-ip", addresses)
    more = ("--users", folder / "users.csv", "--threshold", "errors==0")
    return gatecrash.command(gate.url, out, *logins, *load, *shards, *more)


def show(asked, result, metrics, counted, memory, by_process):
    tokens, generator = result["tokens"], result["generator"]
    handshake, invalid = result["phases"]["handshake"]["response"], ", ".join(result["validity"]["reasons"])
    spread = f": {', '.join(by_process)} sockets of the gate" if by_process else ""
    rss_bytes, in_kernel_bytes = (total / asked.sockets for total in memory)
    own_bytes = generator["rss_bytes_peak"] / asked.sockets
    print(f"processes of load and gate       {asked.processes} each{spread}")
    print(f"logins, tokens                   {result['phases']['login']['count']:,} users, "
          f"{tokens['requests']:,} requests for a token, {tokens['failures']} failed")
    print(f"sockets                          {result['totals']['established']:,} of {asked.sockets:,} at {asked.rate}/s")
    print(f"handshake p50, p99               {handshake['p50_us'] / 1e3:.2f} ms, {handshake['p99_us'] / 1e3:.2f} ms")
    print(f"lag p99                          {generator['lag_p99_us'] / 1e3:.2f} ms; {invalid or 'valid'}")
    print(f"most held at once                {most_held(result):,} by our count, {max(counted):,.0f} by the gate's")
    print(f"all of them held together        {together_s(asked, counted)} s, {result['sockets']['dropped']} lost, "
          f"{ping_timeouts(metrics):.0f} closed after a ping timeout")
    print(f"memory per socket                {rss_bytes:.0f} bytes of RSS in the gate, {own_bytes:.0f} in the load, all of it")
    print(f"kernel memory per socket         {in_kernel_bytes:,.0f} bytes, both ends")


def faults(asked, result, metrics, counted):
    tokens = result["tokens"]
    beat_s = (asked.ping_interval_ms + asked.ping_timeout_ms) / 1000
    return {
        "logins failed": result["phases"]["login"]["count"] != asked.users,
        "tokens failed": tokens["failures"] or tokens["requests"] != asked.sockets,
        "handshakes failed": result["totals"]["established"] != asked.sockets,
        "sockets were lost": result["sockets"]["dropped"],
        "the gate closed sockets after a ping timeout": ping_timeouts(metrics) != 0,
        "the counts differ": max(counted) != asked.sockets or most_held(result) != asked.sockets,
        "they were not held together for a heartbeat: hold for longer": together_s(asked, counted) < beat_s,
        "a process of the gate died": metrics["gatekeeper_process_restarts_total"] != 0,
    }


def most_held(result):
    return max(row["held"] for row in result["intervals"])


def together_s(asked, counted):
    """Seconds in which the gate counted all of them."""
    return sum(count == asked.sockets for count in counted) * COUNT_EVERY_S


if __name__ == "__main__":
    main()
