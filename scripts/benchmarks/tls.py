"""What TLS costs the gate: handshakes in the clear, with a full TLS handshake, and with one that resumes a session.

The gate runs on one core, gatecrash on another, 8 handshakes under way at once; rounds are interleaved, and a ratio is of
two slices of one round. What a handshake costs beside TLS (TCP, HTTP, the token, the close) is in all of them. Idle sockets
are measured in servers of their own. Sessions are resumed by tickets: the server stores nothing.
"""

import contextlib
import dataclasses
import pathlib
import ssl
import subprocess
import tempfile
import time

import contest
from contest import ContestServer
from figures import arguments, column, median, show, spread, spread_column
from harness import gatecrash, observe
from harness.programs import CLIENT_CPU, ENVIRONMENT, SOURCES, certificate, fail, note, pinned, raise_descriptor_limit

ROUNDS = 5
# rustls keeps so many tickets of a server, and each is used once (RFC 8446 appendix C.4).
CONCURRENCY = 8
# Handshakes of a slice: about half a second of the server's.
SLICES = {"plain": 8000, "full": 3000, "resumed": 5000, "full-rsa": 1200}
IDLE_SOCKETS = 5000
HELD_SECONDS_MAX = 60
KEYS = ("ecdsa", "rsa")


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


class TlsGate(ContestServer):
    """A gate for one way to connect, and gatecrash's runs against it."""

    def __init__(self, case: Case, certificates: dict):
        self.case, self.certificate = case, None
        flags = [contest.WITHOUT_HEARTBEATS]
        if case.key:
            self.certificate, private = certificates[case.key]
            flags += [f"--tls-cert={self.certificate}", f"--tls-key={private}"]
        super().__init__(contest.gate(case.subject, *flags, protocol=case.protocol))

    def flags(self, number: int) -> tuple:
        """The target of so many handshakes, and the other flags of their run."""
        scheme = {"websocket": "ws", "socketio": "http"}[self.case.protocol] + ("s" if self.case.key else "")
        target = f"{scheme}://{self.address}" + ("/ws" if self.case.protocol == "websocket" else "")
        trust = ("--cacert", self.certificate) if self.certificate else ()
        resumption = ("--tls-resumption", "on" if self.case.resumes else "off")
        load = ("-c", number, "--concurrency", CONCURRENCY, "--auth-grace", "0s", "--source-ip", SOURCES)
        return target, "--protocol", self.case.protocol, *trust, *resumption, *load, *gatecrash.MINTED, *gatecrash.ONE_SHARD

    def established(self, number: int) -> dict:
        """The result of handshakes that must all succeed, each closed at once."""
        target, *flags = self.flags(number)
        run = gatecrash.run(target, *flags, "--hold", "0s", prefix=pinned(CLIENT_CPU))
        if run.exit_code != 0:
            fail(f"gatecrash against {self.case.subject}: exit {run.exit_code}\n{run.output}")
        established, resumed = run.result["totals"]["established"], run.result["sockets"].get("tls_resumed") or 0
        if established != number:
            fail(f"{self.case.subject}: {established} of {number} handshakes")
        # The first handshakes, which begin together, have no ticket yet.
        if resumed < (number - 2 * CONCURRENCY if self.case.resumes else 0) or (resumed and not self.case.resumes):
            fail(f"{self.case.subject}: {resumed} of {number} handshakes resumed a session")
        return run.result

    def measure(self, number: int) -> tuple[float, float]:
        """Handshakes per second, and the server's microseconds for each."""
        before_ns = observe.settled_cpu_ns(self.pid)
        result = self.established(number)
        cpu_ns = observe.settled_cpu_ns(self.pid) - before_ns
        return result["rates"]["established_per_s"], cpu_ns / number / 1000

    def wait_for_sockets(self, sockets: int) -> None:
        context = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        for _ in range(HELD_SECONDS_MAX * 5):
            if self.metrics(context)["gatekeeper_sessions_open"] == sockets:
                return
            time.sleep(0.2)
        fail(f"{self.case.subject}: {sockets} sockets were not open in time")


def main() -> None:
    quick = "1 round, a tenth of the handshakes and of the sockets"
    asked = arguments(__doc__, quick=quick, rounds=ROUNDS).parse_args()
    raise_descriptor_limit()
    part = 10 if asked.quick else 1
    with tempfile.TemporaryDirectory() as folder:
        certificates = {key: certificate(pathlib.Path(folder), key) for key in KEYS}
        figures = handshakes(certificates, asked.rounds or (1 if asked.quick else ROUNDS), part)
        for case in CASES:
            # The memory of an idle socket does not depend on resumption or on the certificate.
            if case.name in ("plain", "full"):
                figures[case.subject] |= idle_memory(case, certificates, IDLE_SOCKETS // part)
    show("tls", figures, COLUMNS, asked.json)


def handshakes(certificates: dict, rounds: int, part: int) -> dict:
    """What a handshake of each kind costs the server."""
    slices = {case: [] for case in CASES}
    with contextlib.ExitStack() as stack:
        gates = {case: stack.enter_context(TlsGate(case, certificates)) for case in CASES}
        for gate in gates.values():
            gate.established(500)
        for number in range(rounds):
            for case, gate in gates.items():
                slices[case].append(gate.measure(SLICES[case.name] // part))
            note(f"round {number + 1} of {rounds}")
    return {case.subject: summary(slices[case], slices[plain_of(case)]) for case in CASES}


def plain_of(case: Case) -> Case:
    return next(other for other in CASES if (other.protocol, other.name) == (case.protocol, "plain"))


def summary(slices: list, plain: list) -> dict:
    return {
        "handshakes_per_s": median((rate for rate, _ in slices), "1/s"),
        "cpu_us": median((cpu for _, cpu in slices), "us"),
        "tls_us": median((cpu - base for (_, cpu), (_, base) in zip(slices, plain)), "us"),
        **spread("ratio", [cpu / base for (_, cpu), (_, base) in zip(slices, plain)]),
    }


def idle_memory(case: Case, certificates: dict, sockets: int) -> dict:
    """Memory of an idle authenticated socket, measured with so many of them in a server of their own."""
    with TlsGate(case, certificates) as gate, tempfile.TemporaryDirectory() as out:
        gate.established(100)
        observe.settled_cpu_ns(gate.pid)
        rss_bytes = observe.rss_bytes(gate.pid)
        target, *flags = gate.flags(sockets)
        command = gatecrash.command(target, out, "--quiet", *flags, "--hold", f"{HELD_SECONDS_MAX}s")
        holder = subprocess.Popen([*pinned(CLIENT_CPU), *command], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        try:
            gate.wait_for_sockets(sockets)
            observe.settled_cpu_ns(gate.pid)
            grown_bytes = observe.rss_bytes(gate.pid) - rss_bytes
        finally:
            holder.kill()
            holder.wait()
    note(f"{case.subject}: {sockets} idle sockets measured")
    return {"rss_bytes_per_socket": (grown_bytes / sockets, "B")}


COLUMNS = {
    "handshakes/s": column("handshakes_per_s", 0),
    "CPU us": column("cpu_us"),
    "of TLS": column("tls_us"),
    "ratio": spread_column("ratio"),
    "RSS B": column("rss_bytes_per_socket", 0),
}

if __name__ == "__main__":
    main()
