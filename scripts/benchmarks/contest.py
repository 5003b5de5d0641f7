"""Servers to be compared, each on a core of its own, and the bare client that loads them from another."""

import dataclasses
import pathlib
import shutil

from harness import observe, tokens
from harness.programs import (
    CLIENT_CPU,
    FLOOR_WITH_KEYS,
    PEERS,
    ROOT,
    SECRET,
    SERVER_CPU,
    SOURCES,
    BareClient,
    Server,
    fail,
    gatekeeper,
)

CLIENT_SECONDS_MAX = 120
# Heartbeats are a load of their own, and those of sockets opened together come together.
WITHOUT_HEARTBEATS = "--ping-interval=3600000"


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A server, and how it is loaded."""

    name: str
    command: tuple
    # Handshakes that take it about half a second.
    slice: int
    protocol: str = "websocket"
    checks_tokens: bool = True
    # Node runs the same code faster after a while.
    warmup: int = 2000


def gate(name: str, *flags: str, program: pathlib.Path | None = None, protocol: str = "websocket") -> Contestant:
    """A gate on one core: one shard."""
    command = gatekeeper("--workers=1", *flags, **({"program": program} if program else {}))
    return Contestant(name, command, 20_000 if protocol == "websocket" else 15_000, protocol)


def node(script: str, *flags: str) -> tuple[str, ...]:
    return (shutil.which("node") or "node", str(ROOT / "scripts/peers/node" / script), *flags)


FLOOR = Contestant("floor", (PEERS / "floor",), 20_000, checks_tokens=False)
FLOOR_FOR_GATECRASH = dataclasses.replace(FLOOR, command=FLOOR_WITH_KEYS)
GATE = gate("gatekeeper")
GATE_SOCKETIO = gate("gatekeeper-socketio", protocol="socketio")
NODE_WS = Contestant("node-ws-fast-jwt", node("rival-ws.js"), 4000, warmup=20_000)
ALL = (
    FLOOR,
    GATE,
    Contestant("tungstenite", (PEERS / "tungstenite-server",), 15_000),
    Contestant("axum", (PEERS / "axum-server",), 15_000),
    NODE_WS,
    GATE_SOCKETIO,
    Contestant("socketioxide", (PEERS / "socketioxide-server",), 8000, "socketio"),
    Contestant("node-socketio-keyobject", node("rival-socketio.js", "keyobject"), 1500, "socketio", warmup=10_000),
    Contestant("node-socketio-string", node("rival-socketio.js", "string"), 700, "socketio", warmup=5000),
)
QUICK = (FLOOR, GATE, NODE_WS)


@dataclasses.dataclass(frozen=True)
class Slice:
    """What handshakes cost: their rate, and microseconds of processor time for each."""

    rate_per_s: float
    cpu_us: float
    client_us: float

    @property
    def both_us(self) -> float:
        """Server and client together: within one machine the kernel does the receiver's work in the sender's time."""
        return self.cpu_us + self.client_us


class ContestServer(Server):
    """A running contestant."""

    def __init__(self, contestant: Contestant, cpus: tuple[int, ...] = (SERVER_CPU,)):
        super().__init__(contestant.command, cpus=cpus)
        self.contestant = contestant

    def client(self, *flags: object, token: str | None = None, cpus: tuple[int, ...] = (CLIENT_CPU,)) -> BareClient:
        """A bare client that loads it."""
        flags = ("--protocol", self.contestant.protocol, "--source-ip", SOURCES, *flags)
        return BareClient(self, *flags, token=token, cpus=cpus)

    def load(self, *flags: object, token: str | None = None) -> dict:
        """Runs a bare client to its end. Its counts, and its first failure."""
        with self.client(*flags, token=token) as client:
            counts = client.read_line(CLIENT_SECONDS_MAX)
            client.wait(CLIENT_SECONDS_MAX)
            return counts | {"first_failure": client.log_text()}

    def handshakes(self, number: int, *flags: object, token: str | None = None) -> dict:
        """Handshakes that must all succeed."""
        counts = self.load("-n", number, *flags, token=token)
        if counts["done"] != number:
            fail(f"{self.contestant.name} accepted {counts['done']} of {number}: {counts['first_failure']}")
        return counts

    def slice(self, number: int, *flags: object) -> Slice:
        """What so many handshakes cost."""
        before_ns = observe.settled_cpu_ns(self.pid)
        counts = self.handshakes(number, *flags)
        cpu_ns = observe.settled_cpu_ns(self.pid) - before_ns
        return Slice(number / counts["wall_s"], cpu_ns / number / 1000, counts["cpu_s"] / number * 1e6)

    def check(self) -> None:
        """Warms it up; a valid token must be accepted and a forged one refused."""
        self.handshakes(self.contestant.warmup)
        forged = self.load("-n", 20, token=tokens.forge(SECRET))
        if self.contestant.checks_tokens and (forged["done"], forged["failed"]) != (0, 20):
            fail(f"{self.contestant.name} accepted {forged['done']} of 20 forged tokens")


class HeldSockets:
    """Sockets that a bare client holds within its `with`."""

    def __init__(self, server: ContestServer, sockets: int):
        self.name = server.contestant.name
        self.client = server.client("-n", sockets, "--hold", "end")
        held = self.client.read_line(CLIENT_SECONDS_MAX)["held"]
        if held != sockets:
            fail(f"{self.name} accepted {held} of {sockets}")

    def __enter__(self) -> "HeldSockets":
        return self

    def __exit__(self, *_) -> None:
        self.client.release()
        counts = self.client.read_line(CLIENT_SECONDS_MAX)
        self.client.kill()
        if counts["lost"]:
            fail(f"{self.name} lost idle sockets: {counts}")


def idle_memory(contestant: Contestant, sockets: int) -> dict:
    """Memory of an idle authenticated socket, measured with so many of them in a server of their own."""
    with ContestServer(contestant) as server:
        server.handshakes(contestant.warmup)
        observe.settled_cpu_ns(server.pid)
        rss_bytes, kernel_bytes = observe.rss_bytes(server.pid), observe.kernel_bytes()
        with HeldSockets(server, sockets):
            observe.settled_cpu_ns(server.pid)
            rss_bytes = observe.rss_bytes(server.pid) - rss_bytes
            kernel_bytes = observe.kernel_bytes() - kernel_bytes
    return {
        "rss_bytes_per_socket": (rss_bytes / sockets, "B"),
        # Half of what both ends of the connection take.
        "kernel_bytes_per_socket": (kernel_bytes / sockets / 2, "B"),
    }
