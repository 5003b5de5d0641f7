"""Servers to be compared, each on a core of its own, and the bare client that drives them from another."""

import dataclasses
import json
import os
import pathlib
import resource
import shutil
import subprocess

import jwt
import observe

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "target/peers/cargo/release"
NODE = ROOT / "scripts/peers/node"
GATEKEEPER = ROOT / "target/release/gatekeeper"

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU = CPUS[-1]
CLIENT_CPU = CPUS[0]

SECRET = "a secret of thirty-two bytes, yes"
ENVIRONMENT = os.environ | {"SECRET": SECRET, "RUST_LOG": "warn"}
# One address has some 28,000 ports for a server, and those of connections that closed with FIN rest for a minute.
SOURCES = "127.0.0.2-127.0.0.65"
CLIENT_SECONDS_MAX = 120


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A server, and how it is talked to."""

    name: str
    command: tuple[str, ...]
    # Handshakes that take it about half a second.
    slice: int
    protocol: str = "websocket"
    checks_tokens: bool = True
    # Node runs the same code faster once it has run it for a while.
    warmup: int = 2000


def gatekeeper(*flags: str) -> tuple[str, ...]:
    # Told where to listen and nothing else: one core is one shard.
    given = ("--role", "gate", "--listen", "127.0.0.1:0", "--secret", "env:SECRET", "--die-with-parent")
    return (str(GATEKEEPER), *given, *flags)


def node(script: str, *flags: str) -> tuple[str, ...]:
    return (shutil.which("node") or "node", str(NODE / script), *flags)


FLOOR = Contestant("floor", (str(PEERS / "floor"),), 20_000, checks_tokens=False)
# gatecrash checks the accept key, which a constant answer has not.
FLOOR_WITH_KEYS = dataclasses.replace(FLOOR, command=(*FLOOR.command, "--answer-keys"))
GATE = Contestant("gatekeeper", gatekeeper("--workers", "1"), 20_000)
GATE_SOCKETIO = Contestant("gatekeeper-socketio", gatekeeper("--workers", "1"), 15_000, "socketio")
NODE_WS = Contestant("node-ws-fast-jwt", node("rival-ws.js"), 4000, warmup=20_000)
ALL = (
    FLOOR,
    GATE,
    Contestant("tungstenite", (str(PEERS / "tungstenite-server"),), 15_000),
    Contestant("axum", (str(PEERS / "axum-server"),), 15_000),
    NODE_WS,
    GATE_SOCKETIO,
    Contestant("socketioxide", (str(PEERS / "socketioxide-server"),), 8000, "socketio"),
    Contestant("node-socketio-keyobject", node("rival-socketio.js", "keyobject"), 1500, "socketio", warmup=10_000),
    Contestant("node-socketio-string", node("rival-socketio.js", "string"), 700, "socketio", warmup=5000),
)
QUICK = (FLOOR, GATE, NODE_WS)


def real_time() -> tuple[str, ...]:
    """What a command begins with that is to run before whatever else the machine does: real-time priority, where it may
    be had. What is woken then runs at once; at any other it waits for up to a slice (4 ms) of whoever runs."""
    prefix = ("chrt", "--rr", "1")
    tried = subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL, check=False)
    return prefix if tried.returncode == 0 else ()


@dataclasses.dataclass(frozen=True)
class Slice:
    """What handshakes cost: their rate, and microseconds of processor time for each."""

    rate_per_s: float
    cpu_us: float
    client_us: float

    @property
    def both_us(self) -> float:
        """Of server and client together: within one machine the kernel does the receiver's work in the sender's time."""
        return self.cpu_us + self.client_us


class Server:
    """A running contestant. Leaving its `with` ends it."""

    def __init__(self, contestant: Contestant, *, cpus: tuple[int, ...] = (SERVER_CPU,), before: tuple[str, ...] = ()):
        self.contestant = contestant
        pinned = [*before, "taskset", "-c", ",".join(map(str, cpus)), *contestant.command]
        self.process = subprocess.Popen(
            pinned, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ready = json.loads(self.process.stdout.readline() or fail(f"{contestant.name} did not start"))
        self.port = ready.get("port") or int(ready.get("gate", ready.get("frontend")).rsplit(":", 1)[1])
        self.pid = self.process.pid

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()

    def client(self, *flags: object, token: str | None = None, cpus: tuple[int, ...] = (CLIENT_CPU,)) -> list[str]:
        """The command of a bare client that drives it."""
        return [
            *("taskset", "-c", ",".join(map(str, cpus)), str(PEERS / "bare-client")),
            *("--target", f"127.0.0.1:{self.port}", "--protocol", self.contestant.protocol),
            *("--token", token or jwt.mint(SECRET), "--source-ip", SOURCES),
            *map(str, flags),
        ]

    def load(self, *flags: object, token: str | None = None) -> dict:
        """Runs a bare client to its end. Answers its counts."""
        command = self.client(*flags, token=token)
        run = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, check=False)
        if run.returncode != 0:
            fail(f"the bare client against {self.contestant.name}: {run.stderr}")
        return json.loads(run.stdout) | {"stderr": run.stderr}

    def handshakes(self, number: int, *flags: object) -> dict:
        """Handshakes that must all succeed."""
        counts = self.load("-n", number, *flags)
        if counts["done"] != number:
            fail(f"{self.contestant.name} let {counts['done']} of {number} in: {counts['stderr']}")
        return counts

    def slice(self, number: int, *flags: object) -> "Slice":
        """What so many handshakes cost."""
        before_ns = observe.settled_cpu_ns(self.pid)
        counts = self.handshakes(number, *flags)
        cpu_ns = observe.settled_cpu_ns(self.pid) - before_ns
        return Slice(number / counts["wall_s"], cpu_ns / number / 1000, counts["cpu_s"] / number * 1e6)

    def check(self) -> None:
        """Holds it to its word: a good token is let in, a forged one is not."""
        self.handshakes(self.contestant.warmup)
        forged = self.load("-n", 20, token=jwt.mint(SECRET[::-1]))
        if self.contestant.checks_tokens and (forged["done"], forged["failed"]) != (0, 20):
            fail(f"{self.contestant.name} let {forged['done']} of 20 forged tokens in")


class Held:
    """Sockets that a bare client holds within its `with`."""

    def __init__(self, server: Server, sockets: int):
        self.name = server.contestant.name
        command = server.client("-n", sockets, "--hold", "end")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        counts = json.loads(self.process.stdout.readline())
        if counts["held"] != sockets:
            fail(f"{self.name} let {counts['held']} of {sockets} in")

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_) -> None:
        out, _ = self.process.communicate(timeout=CLIENT_SECONDS_MAX)
        if json.loads(out)["lost"]:
            fail(f"{self.name} lost idle sockets: {out}")


def raise_descriptors() -> None:
    """As many as the machine allows: programs start with the soft limit of whoever starts them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def fail(why: str):
    raise SystemExit(f"bench: {why}")
