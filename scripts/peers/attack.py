"""The gate under attack: what good users get while others do their worst, and what it costs the gate.

    python attack.py [--seconds S] [--scale X] [--good R/s] [ATTACK...]

Starts `target/release/gatekeeper` and, attack by attack, lets good users in at a fixed rate for S seconds: first
undisturbed, then under the attack, then it watches the gate recover. Prints a table and leaves with 1 when a bound is
broken. The scale shrinks the attacks' sizes and rates (and the good users' with --good), so that a short form takes
seconds. Both programs are built by `scripts/prove attack`.

The bounds: good users get at least 90 % of what they get undisturbed; memory is flat (its peak in the second half of
the attack at most a tenth above that in the first half, and at most 64 MiB above what it was); afterwards the gate lives,
has panicked nowhere and holds no descriptor more than before (counted in /proc).
"""

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATEKEEPER = ROOT / "target/release/gatekeeper"
BARE_CLIENT = ROOT / "target/peers/cargo/release/bare-client"

SECRET = "a secret of at least 32 bytes, as RFC 7518 asks"
GOOD_SHARE_MIN = 0.9
GROWTH_MAX = 1.1
GROWTH_BYTES_SLACK = 4 << 20  # an allocator's own
ATTACK_BYTES_MAX = 64 << 20
RECOVERY_S_MAX = 30  # longer than any deadline of the gate's
SAMPLE_S = 0.25

# Addresses of their own, so that each side has ports enough.
GOOD_ADDRESSES = "127.0.0.2-127.0.0.9"
FORGER_ADDRESSES = "127.0.1.1-127.0.1.64"
ATTACKER_ADDRESSES = [f"127.0.2.{last}" for last in range(1, 17)]


def main() -> int:
    args = arguments(__doc__, ATTACKS, seconds=20.0, good=1000)
    return prove_all(args, args.attacks or list(ATTACKS))


def arguments(about: str, attacks: dict, seconds: float, good: float) -> argparse.Namespace:
    """What is asked of a script with these attacks; seconds are of the kind of their default."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--seconds", type=type(seconds), default=seconds)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--good", type=float, default=good, help="good handshakes a second")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(attacks))
    args = parser.parse_args()
    unknown = set(args.attacks) - set(attacks)
    if unknown:
        parser.error(f"no such attack: {', '.join(sorted(unknown))}; there are {', '.join(attacks)}")
    return args


def prove_all(args: argparse.Namespace, names: list[str]) -> int:
    rows, faults = [], []
    for name in names:
        row, broken = prove(name, args)
        rows.append(row)
        faults += [f"{name}: {fault}" for fault in broken]
    print(table(rows))
    for fault in faults:
        print(f"attack: {fault}", file=sys.stderr)
    return 1 if faults else 0


def prove(name: str, args: argparse.Namespace) -> tuple[dict, list[str]]:
    """One attack on a gate of its own: its row of the table, and the bounds that it broke."""
    with Gate() as gate:
        # What a first load leaves behind (warm tables, a heap that has grown) is not the attack's doing.
        undisturbed = good_users(gate, args)
        time.sleep(1)
        before = gate.sample()
        with Attack(ATTACKS[name], gate, args.scale) as attack, Sampler(gate) as sampler:
            attack.wait_until_under_way()
            attacked = good_users(gate, args)
        after = gate.wait_for_descriptors(before["descriptors"])
        page = gate.metrics() if gate.is_alive() else {}
        faults = gate.faults()
    halves = sampler.halves()
    share = attacked["done"] / undisturbed["done"] if undisturbed["done"] else 0
    peak = max(halves)
    if share < GOOD_SHARE_MIN:
        faults.append(f"good users got {share:.1%} of what they get undisturbed")
    if attacked["lost"] > undisturbed["lost"]:
        faults.append(f"{attacked['lost']} good sockets were lost")
    if halves[1] > halves[0] * GROWTH_MAX + GROWTH_BYTES_SLACK:
        faults.append(f"memory grew from {mib(halves[0])} to {mib(halves[1])} MiB under it")
    if peak > before["bytes"] + ATTACK_BYTES_MAX:
        faults.append(f"memory grew from {mib(before['bytes'])} to {mib(peak)} MiB")
    if after["descriptors"] > before["descriptors"]:
        faults.append(f"{after['descriptors'] - before['descriptors']} descriptors were left")
    row = {
        "attack": name,
        "good/s alone": f"{undisturbed['done'] / undisturbed['wall_s']:,.0f}",
        "under it": f"{attacked['done'] / attacked['wall_s']:,.0f}",
        "share": f"{share:.1%}",
        "MiB before": mib(before["bytes"]),
        "1st half": mib(halves[0]),
        "2nd half": mib(halves[1]),
        "descriptors": f"{before['descriptors']} > {after['descriptors']}",
        "attackers": attack.told(),
        "counted": counted(page),
    }
    return row, faults


# -- The gate ----------------------------------------------------------------------------------------------------------


class Gate:
    """A gatekeeper process, with the limits that it has by default."""

    flags: tuple[str, ...] = ()
    context: ssl.SSLContext | None = None

    def __enter__(self) -> "Gate":
        self.log = tempfile.TemporaryFile("w+")
        command = [GATEKEEPER, "--role", "gate", "--listen", "127.0.0.1:0", "--secret", SECRET, *self.flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        ready = self.process.stdout.readline()
        if not ready:
            self.log.seek(0)
            raise SystemExit(f"attack: gatekeeper did not start: {self.log.read()}")
        self.url = json.loads(ready)["gate"]
        host, port = self.url.split("://")[1].split(":")
        self.address = (host, int(port))
        self.proc = pathlib.Path("/proc") / str(self.process.pid)
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def sample(self) -> dict:
        """Resident memory and open descriptors now."""
        status = (self.proc / "status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return {"bytes": int(resident.split()[1]) * 1024, "descriptors": len(list((self.proc / "fd").iterdir()))}

    def wait_for_descriptors(self, count: int) -> dict:
        """Waits until there are no more than `count`, if that comes to pass."""
        until = time.monotonic() + RECOVERY_S_MAX
        while self.is_alive() and (sample := self.sample())["descriptors"] > count and time.monotonic() < until:
            time.sleep(SAMPLE_S)
        return sample if self.is_alive() else {"bytes": 0, "descriptors": 0}

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10, context=self.context) as page:
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, value in (l.rsplit(" ", 1) for l in lines if not l.startswith("#"))}

    def faults(self) -> list[str]:
        self.log.seek(0)
        log = self.log.read()
        faults = [] if self.is_alive() else ["the gate is gone"]
        return faults + (["it panicked: see its log"] if "panicked" in log else [])


def counted(page: dict[str, float]) -> str:
    """What the gate counted besides good handshakes, the most frequent first."""
    label = "gatekeeper_handshakes_total{"
    counts = {
        name.removeprefix(label).rstrip("}").replace("outcome=", "").replace("reason=", "").replace('"', ""): value
        for name, value in page.items()
        if name.startswith(label) and value > 1 and "established" not in name
    }
    most = sorted(counts.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name.replace(',', ' ')} {value:,.0f}" for name, value in most)


# -- Good users --------------------------------------------------------------------------------------------------------


def token() -> str:
    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    header, claims = {"alg": "HS256", "typ": "JWT"}, {"user": {"username": "ann"}}
    signed = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{encode(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"


def bare_client(gate: Gate, number: int, rate: float, addresses: str, with_token: str) -> subprocess.Popen:
    target = f"{gate.address[0]}:{gate.address[1]}"
    options = ["-n", str(number), "-r", str(rate), "--source-ip", addresses, "--token", with_token]
    command = [BARE_CLIENT, "--target", target, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def good_users(gate: Gate, args: argparse.Namespace) -> dict:
    """Good handshakes at a fixed rate: what came of them."""
    client = bare_client(gate, int(args.good * args.seconds), args.good, GOOD_ADDRESSES, token())
    out, _ = client.communicate(timeout=args.seconds * 3 + 60)
    return json.loads(out.splitlines()[-1])


# -- Attacks -----------------------------------------------------------------------------------------------------------


class Attack:
    """An attack on a thread of its own, from its start until it is stopped."""

    def __init__(self, act: Callable[["Attack"], None], gate: Gate, scale: float):
        self.gate, self.scale = gate, scale
        self.stopped, self.under_way = threading.Event(), threading.Event()
        self.counts: dict[str, int] = {}
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self.run, args=(act,))

    def run(self, act: Callable[["Attack"], None]) -> None:
        try:
            act(self)
        except BaseException as failure:  # told by the thread that waits
            self.failure = failure
            self.under_way.set()

    def __enter__(self) -> "Attack":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopped.set()
        self.thread.join()
        if self.failure:
            raise self.failure

    def wait_until_under_way(self) -> None:
        if not self.under_way.wait(timeout=60):
            raise SystemExit("attack: it did not get under way within a minute")

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    def told(self) -> str:
        return ", ".join(f"{what} {count:,}" for what, count in self.counts.items())

    def scaled(self, size: float) -> int:
        return max(1, int(size * self.scale))

    def ticks(self, per_s: float) -> Iterator[None]:
        """Comes around so often a second until the attack is stopped; what it missed is not made up for."""
        due = time.monotonic()
        while not self.stopped.is_set():
            yield
            due = max(due + 1 / per_s, time.monotonic())
            self.stopped.wait(due - time.monotonic())

    def connect(self, place: int, receive_bytes: int | None = None) -> socket.socket | None:
        """Connects from one of the attackers' addresses; `None` where that fails."""
        peer = socket.socket()
        try:
            if receive_bytes:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.bind((ATTACKER_ADDRESSES[place % len(ATTACKER_ADDRESSES)], 0))
            peer.settimeout(5)
            peer.connect(self.gate.address)
            peer.setblocking(False)
        except OSError:
            peer.close()
            self.count("not connected")
            return None
        self.count("connected")
        return peer

    def enter(self, place: int, receive_bytes: int | None = None) -> socket.socket | None:
        """The same, let in as a raw WebSocket by a good token."""
        peer = self.connect(place, receive_bytes)
        if peer is None:
            return None
        try:
            peer.settimeout(5)
            peer.sendall(
                f"GET /ws?token={token()} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            if not peer.recv(1024).startswith(b"HTTP/1.1 101 "):
                raise ConnectionError
            peer.setblocking(False)
        except OSError:
            peer.close()
            self.count("not let in")
            return None
        self.count("let in")
        return peer


RECONNECTS_PER_S = 1_000  # of those whose connection was ended


def half_open(attack: Attack) -> None:
    """10,000 connections whose request comes at a byte a second; who is ended comes again."""
    turns_per_s = 20
    peers: list[socket.socket | None] = [None] * attack.scaled(10_000)
    hammers = RECONNECTS_PER_S // turns_per_s
    for turn, _ in enumerate(attack.ticks(turns_per_s)):
        reconnects = hammers if attack.under_way.is_set() else len(peers)
        for place in range(turn % turns_per_s, len(peers), turns_per_s):
            if peers[place] is None and reconnects > 0:
                reconnects -= 1
                peers[place] = attack.connect(place)
            peers[place] = send(attack, peers[place], b"G" if turn < turns_per_s else b"E")
        if turn == turns_per_s:
            attack.under_way.set()
    close(peers)


def forged(attack: Attack) -> None:
    """5,000 handshakes a second with a token whose signature is another's."""
    header, claims, mac = token().split(".")
    # Another first character: good base64, and no signature.
    bad = f"{header}.{claims}.{'B' if mac[0] == 'A' else 'A'}{mac[1:]}"
    rate = attack.scaled(5_000)
    # As many as take longer than the good users will.
    forger = bare_client(attack.gate, rate * 600, rate, FORGER_ADDRESSES, bad)
    accepted = attack.gate.metrics
    reason = 'gatekeeper_handshakes_total{outcome="refused",reason="signature_invalid"}'
    try:
        for _ in attack.ticks(20):
            if forger.poll() is not None:
                raise SystemExit("attack: the forgers ended early")
            if accepted()[reason] > rate / 2:
                attack.under_way.set()
                break
        from_here, at = accepted()[reason], time.monotonic()
        attack.stopped.wait()
        refused = accepted()[reason] - from_here
        attack.count("refused a second", int(refused / (time.monotonic() - at)))
    finally:
        forger.terminate()
        forger.wait()


def large_heads(attack: Attack) -> None:
    """Heads of 1 MB, 200 a second, 64 at once."""
    head = b"GET /ws HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (1 << 20)
    flood(attack, per_s=200, at_once=64, enter=attack.connect, sends=lambda _: head)


def lies(attack: Attack) -> None:
    """Clients that were let in and announce frames that do not come: of 4 GB, 200 a second; and 1,000 of the longest
    length allowed, of which a byte comes a second."""
    turns_per_s = 20
    within = struct.pack(">BBQ4s", 0x82, 0xFF, 1_000_000, b"\0\0\0\0")
    beyond = struct.pack(">BBQ4s", 0x82, 0xFF, 1 << 32, b"\0\0\0\0")
    patient: list[socket.socket | None] = [None] * attack.scaled(1_000)
    for turn, _ in enumerate(attack.ticks(turns_per_s)):
        for place in range(turn % turns_per_s, len(patient), turns_per_s):
            if patient[place] is None:
                patient[place] = attack.enter(place)
                patient[place] = send(attack, patient[place], within)
            patient[place] = send(attack, patient[place], b"x")
        for _ in range(attack.scaled(200 / turns_per_s)):
            peer = attack.enter(turn)
            close([send(attack, peer, beyond)])
        if turn == turns_per_s:
            attack.under_way.set()
    close(patient)


def never_read(attack: Attack) -> None:
    """200 clients that were let in, send what comes back to them, and never read."""
    message = struct.pack(">BBH4s", 0x82, 0xFE, 60_000, b"\0\0\0\0") + b"x" * 60_000
    flood(attack, per_s=100, at_once=200, enter=lambda place: attack.enter(place, 4096), sends=lambda _: message * 4)


def flood(
    attack: Attack,
    per_s: int,
    at_once: int,
    enter: Callable[[int], socket.socket | None],
    sends: Callable[[int], bytes],
) -> None:
    """Clients that send as fast as the gate takes it; so many start a second, so many are there at once."""
    turns_per_s = 50
    peers: list[tuple[socket.socket, memoryview]] = []
    places = attack.scaled(at_once)
    started = 0.0
    for turn, _ in enumerate(attack.ticks(turns_per_s)):
        started = min(started + attack.scaled(per_s) / turns_per_s, places)
        while started >= 1 and len(peers) < places:
            started -= 1
            peer = enter(turn + len(peers))
            if peer is not None:
                peers.append((peer, memoryview(sends(turn))))
        kept = []
        for peer, rest in peers:
            with contextlib.suppress(BlockingIOError):
                try:
                    sent = peer.send(rest)
                except BlockingIOError:
                    raise
                except OSError:
                    attack.count("ended")
                    peer.close()
                    continue
                attack.count("bytes sent", sent)
                rest = rest[sent:] if sent < len(rest) else memoryview(sends(turn))
            kept.append((peer, rest))
        peers = kept
        if turn == 2 * turns_per_s:
            attack.under_way.set()
    close([peer for peer, _ in peers])


def send(attack: Attack, peer: socket.socket | None, data: bytes) -> socket.socket | None:
    """Sends, and gives the socket back while it is open."""
    if peer is None:
        return None
    try:
        peer.send(data)
        if not peer.recv(1024):
            raise ConnectionError
    except BlockingIOError:
        return peer
    except OSError:
        attack.count("ended")
        peer.close()
        return None
    return peer


def close(peers: list[socket.socket | None]) -> None:
    for peer in peers:
        if peer is not None:
            peer.close()


ATTACKS = {
    "half-open": half_open,
    "forged": forged,
    "large-heads": large_heads,
    "lies": lies,
    "never-read": never_read,
}


# -- What is told ------------------------------------------------------------------------------------------------------


class Sampler:
    """The gate's memory while an attack lasts, sampled on a thread of its own."""

    def __init__(self, gate: Gate):
        self.gate, self.stopped, self.bytes = gate, threading.Event(), []
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> "Sampler":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopped.set()
        self.thread.join()

    def run(self) -> None:
        while not self.stopped.wait(SAMPLE_S) and self.gate.is_alive():
            self.bytes.append(self.gate.sample()["bytes"])

    def halves(self) -> tuple[int, int]:
        """The peaks of both halves of the time."""
        middle = len(self.bytes) // 2
        return max(self.bytes[:middle], default=0), max(self.bytes[middle:], default=0)


def mib(count: int) -> str:
    return f"{count / (1 << 20):.1f}"


def table(rows: list[dict]) -> str:
    heads = list(rows[0])
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    lines = [heads] + [list(row.values()) for row in rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


if __name__ == "__main__":
    sys.exit(main())
