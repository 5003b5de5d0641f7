"""What TLS costs the gate: handshakes in the clear, with a whole TLS handshake, and with one that takes up a session.

    scripts/bench tls [--json] [--quick] [--rounds N]

The gate runs on one core, gatecrash on another, 8 handshakes under way at once; rounds are interleaved, and a ratio is of
two slices of one round. What a handshake costs beside TLS (TCP, HTTP, the token, the close) is in all of them. Idle sockets
are measured in servers of their own. Sessions are taken up by tickets: the server remembers nothing.
"""

import argparse
import dataclasses
import json
import pathlib
import ssl
import statistics
import subprocess
import tempfile
import time
import urllib.request

import contest
import observe
from contest import Contestant, Server, gatekeeper
from rows import as_json, as_table, note, spread, spread_column

# rustls keeps so many tickets of a server, and each is used once (RFC 8446 appendix C.4).
CONCURRENCY = 8
# Handshakes of a slice: about half a second of the server's.
SLICES = {"plain": 8000, "full": 3000, "resumed": 5000, "full-rsa": 1200}
IDLE_SOCKETS = 5000
HELD_SECONDS_MAX = 60
# Chains of trust are not what is measured: each certificate vouches for itself.
KEYS = {
    "ecdsa": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    "rsa": ("rsa:2048",),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A way to connect to a gate."""

    name: str
    protocol: str
    # The key of the gate's certificate; none in the clear.
    key: str | None
    resumes: bool = False

    @property
    def subject(self) -> str:
        return f"{self.protocol}-{self.name}"


CASES = [
    case
    for protocol in ("websocket", "socketio")
    for case in (
        Case("plain", protocol, None),
        Case("full", protocol, "ecdsa"),
        Case("resumed", protocol, "ecdsa", resumes=True),
        Case("full-rsa", protocol, "rsa"),
    )
]


def main() -> None:
    flags = argparse.ArgumentParser(
        prog="scripts/bench tls", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--json", action="store_true", help='print {"rows":[{"name","value","unit"}]}')
    flags.add_argument("--quick", action="store_true", help="1 round, a tenth of the handshakes and of the sockets")
    flags.add_argument("--rounds", type=int, help="interleaved rounds [default: 5; 1 where it is quick]")
    asked = flags.parse_args()
    contest.raise_descriptors()
    with tempfile.TemporaryDirectory() as folder:
        certificates = {key: certificate(pathlib.Path(folder), key) for key in KEYS}
        rounds = asked.rounds or (1 if asked.quick else 5)
        figures = handshakes(certificates, rounds, 10 if asked.quick else 1)
        for case in CASES:
            # An idle socket does not remember how it came.
            if case.name in ("plain", "full"):
                sockets = IDLE_SOCKETS // (10 if asked.quick else 1)
                figures[case.subject] |= idle(case, certificates, sockets)
    print(as_json("tls", figures) if asked.json else as_table(figures, COLUMNS))


COLUMNS = {
    "handshakes/s": lambda row: f"{row['handshakes_per_s'][0]:,.0f}",
    "CPU us": lambda row: f"{row['cpu_us'][0]:.1f}",
    "TLS's own": lambda row: f"{row['tls_us'][0]:.1f}",
    "ratio": spread_column("ratio"),
    "RSS B": lambda row: f"{row['rss_bytes_per_socket'][0]:,.0f}" if "rss_bytes_per_socket" in row else "",
}


def certificate(folder: pathlib.Path, key: str) -> tuple[str, str]:
    """A certificate for loopback and its key, as files."""
    cert, private = str(folder / f"{key}.pem"), str(folder / f"{key}-key.pem")
    kind = ("openssl", "req", "-x509", "-nodes", "-newkey", *KEYS[key])
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    # A certificate that vouches for itself as an authority would is refused as a server's.
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
    subprocess.run([*kind, *names, *leaf, "-keyout", private, "-out", cert], check=True, capture_output=True)
    return cert, private


def gate(case: Case, certificates: dict) -> Server:
    # An hour between heartbeats: they are a load of their own.
    flags = ["--workers", "1", "--ping-interval", "3600000"]
    if case.key:
        cert, private = certificates[case.key]
        flags += ["--tls-cert", cert, "--tls-key", private]
    return Server(Contestant(case.subject, gatekeeper(*flags), SLICES[case.name], case.protocol))


def handshakes(certificates: dict, rounds: int, part: int) -> dict:
    """What a handshake of each kind takes of the server."""
    servers = {case: gate(case, certificates) for case in CASES}
    slices = {case: [] for case in CASES}
    try:
        for case in CASES:
            load(case, servers[case], certificates, 500)
        for number in range(rounds):
            for case in CASES:
                slices[case].append(measure(case, servers[case], certificates, SLICES[case.name] // part))
            note(f"round {number + 1} of {rounds}")
    finally:
        for server in servers.values():
            server.__exit__()
    figures = {}
    for case in CASES:
        plain = slices[next(other for other in CASES if (other.protocol, other.name) == (case.protocol, "plain"))]
        figures[case.subject] = {
            "handshakes_per_s": (statistics.median(rate for rate, _ in slices[case]), "1/s"),
            "cpu_us": (statistics.median(cpu for _, cpu in slices[case]), "us"),
            "tls_us": (statistics.median(cpu - base for (_, cpu), (_, base) in zip(slices[case], plain)), "us"),
            **spread("ratio", [cpu / base for (_, cpu), (_, base) in zip(slices[case], plain)]),
        }
    return figures


def measure(case: Case, server: Server, certificates: dict, number: int) -> tuple[float, float]:
    """Handshakes per second, and the server's microseconds for each."""
    before_ns = observe.settled_cpu_ns(server.pid)
    result = load(case, server, certificates, number)
    cpu_ns = observe.settled_cpu_ns(server.pid) - before_ns
    return result["rates"]["established_per_s"], cpu_ns / number / 1000


def load(case: Case, server: Server, certificates: dict, number: int) -> dict:
    """Handshakes that must all succeed, each closed at once."""
    with tempfile.TemporaryDirectory() as out:
        command = gatecrash(case, server, certificates, number, out, "--hold", "0s")
        run = subprocess.run(command, env=contest.ENVIRONMENT, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            contest.fail(f"gatecrash against {case.subject}: exit {run.returncode}\n{run.stdout}{run.stderr}")
        result = json.loads(pathlib.Path(out, "result.json").read_text())
    established, resumed = result["totals"]["established"], result["sockets"].get("tls_resumed") or 0
    if established != number:
        contest.fail(f"{case.subject}: {established} of {number} handshakes")
    # Each of those that begin together at first has no ticket yet.
    if resumed < (number - 2 * CONCURRENCY if case.resumes else 0) or (resumed and not case.resumes):
        contest.fail(f"{case.subject}: {resumed} of {number} handshakes took up a session")
    return result


def gatecrash(case: Case, server: Server, certificates: dict, number: int, out: str, *more: str) -> list[str]:
    scheme = {"websocket": "ws", "socketio": "http"}[case.protocol] + ("s" if case.key else "")
    target = f"{scheme}://127.0.0.1:{server.port}" + ("/ws" if case.protocol == "websocket" else "")
    trust = ("--cacert", certificates[case.key][0]) if case.key else ()
    return [
        *("taskset", "-c", str(contest.CLIENT_CPU), str(contest.ROOT / "target/release/gatecrash"), "run"),
        *("--no-tui", "--quiet", "--target", target, "--protocol", case.protocol, *trust),
        *("--tls-resumption", "on" if case.resumes else "off"),
        *("--token-source", "mint", "--secret", "env:SECRET", "--token-ttl", "1h"),
        *("--claims", '{"user":{"username":"gonzalo"}}', "--source-ip", contest.SOURCES),
        *("-c", str(number), "--concurrency", str(CONCURRENCY), "--auth-grace", "0s"),
        *("--workers", "1", "--pin", "none", "--out", out, *more),
    ]


def idle(case: Case, certificates: dict, sockets: int) -> dict:
    """What an idle authenticated socket takes, by so many of them in a server of their own."""
    with gate(case, certificates) as server, tempfile.TemporaryDirectory() as out:
        load(case, server, certificates, 100)
        observe.settled_cpu_ns(server.pid)
        rss_bytes = observe.rss_bytes(server.pid)
        command = gatecrash(case, server, certificates, sockets, out, "--hold", f"{HELD_SECONDS_MAX}s")
        holder = subprocess.Popen(command, env=contest.ENVIRONMENT, stdout=subprocess.DEVNULL)
        try:
            await_open(case, server, certificates, sockets)
            observe.settled_cpu_ns(server.pid)
            grown_bytes = observe.rss_bytes(server.pid) - rss_bytes
        finally:
            holder.kill()
            holder.wait()
    note(f"{case.subject}: {sockets} idle sockets measured")
    return {"rss_bytes_per_socket": (grown_bytes / sockets, "B")}


def await_open(case: Case, server: Server, certificates: dict, sockets: int) -> None:
    context = ssl.create_default_context(cafile=certificates[case.key][0]) if case.key else None
    url = f"http{'s' if case.key else ''}://127.0.0.1:{server.port}/metrics"
    for _ in range(HELD_SECONDS_MAX * 5):
        with urllib.request.urlopen(url, context=context) as page:
            if f"\ngatekeeper_sessions_open {sockets}\n" in page.read().decode():
                return
        time.sleep(0.2)
    contest.fail(f"{case.subject}: {sockets} sockets were not open in time")


if __name__ == "__main__":
    main()
