"""What the proofs under attack share: good users at a fixed rate, first undisturbed and then while an attack lasts, the
gate's recovery, and the bounds that decide.

Good users must get at least 90 % of what they get undisturbed; memory must stay flat (its peak in the second half of the
attack at most a tenth above that in the first half, and at most 64 MiB above what it was); afterwards the gate must run,
must not have panicked and must hold no more descriptors than before (counted in /proc).
"""

import argparse
import dataclasses
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator

from gate import Gate
from harness import observe, tokens
from harness.programs import SECRET, BareClient, fail, raise_descriptor_limit

GOOD_SHARE_MIN = 0.9
GROWTH_MAX = 1.1
GROWTH_BYTES_SLACK = 4 << 20  # an allocator's own
ATTACK_BYTES_MAX = 64 << 20
RECOVERY_S_MAX = 30  # longer than any deadline of the gate
ENDS_WITHIN_S = 30
UNDER_WAY_WITHIN_S = 60
SAMPLE_S = 0.25
LOG_BYTES_SHOWN = 2000
# Deadlines of the attacker's own calls.
CALL_S_MAX = 5

# Addresses of their own, so that each side has enough ports.
GOOD_ADDRESSES = "127.0.0.2-127.0.0.9"
ATTACKER_ADDRESSES = [f"127.0.2.{last}" for last in range(1, 17)]


@dataclasses.dataclass(frozen=True)
class Proof:
    """Attacks by name, how good users connect meanwhile, and the gate's flags."""

    name: str
    about: str
    attacks: dict[str, Callable[["Attack"], None]]
    # Given the gate, handshakes a second and seconds: counts of `done` and `lost` sockets, and the seconds it took.
    good_users: Callable[[Gate, float, float], dict]
    seconds: float
    good_per_s: float
    gate_flags: tuple[str, ...] = ()
    context: ssl.SSLContext | None = None

    def run(self) -> None:
        """Runs the attacks that were asked for one after the other, prints the table, and exits."""
        asked = self.arguments()
        raise_descriptor_limit()
        rows, faults = [], []
        for name in asked.attacks or self.attacks:
            row, broken = self.attack(name, asked)
            rows.append(row)
            faults += [f"{name}: {fault}" for fault in broken]
        print(table(rows))
        for fault in faults:
            print(f"FAILED: {fault}", file=sys.stderr)
        sys.exit(1 if faults else 0)

    def arguments(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(prog=f"scripts/prove {self.name}", description=self.about)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("--seconds", type=type(self.seconds), default=self.seconds, help="of good users, each time")
        parser.add_argument("--scale", type=float, default=1, help="of the attacks' sizes and rates")
        parser.add_argument("--good", type=float, default=self.good_per_s, help="good handshakes a second")
        parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(self.attacks))
        asked = parser.parse_args()
        if unknown := set(asked.attacks) - set(self.attacks):
            parser.error(f"no such attack: {', '.join(sorted(unknown))}; there are {', '.join(self.attacks)}")
        return asked

    def attack(self, name: str, asked: argparse.Namespace) -> tuple[dict, list[str]]:
        """One attack on a gate of its own: its row of the table, and the bounds that it broke."""
        with Gate(*self.gate_flags) as gate:
            # What a first load leaves behind (warm tables, a heap that has grown) does not come from the attack.
            undisturbed = self.good_users(gate, asked.good, asked.seconds)
            time.sleep(1)
            before = sample(gate)
            with Attack(self.attacks[name], gate, asked.scale) as attack, MemorySampler(gate) as memory:
                attack.wait_until_under_way()
                attacked = self.good_users(gate, asked.good, asked.seconds)
            after = wait_for_descriptors(gate, before["descriptors"])
            metrics = gate.metrics(self.context) if gate.is_alive() else {}
            observed = Observed(undisturbed, attacked, memory.halves(), before, after)
            faults = gate_faults(gate) + observed.bounds_broken()
            if gate.is_alive():
                gate.terminate(ENDS_WITHIN_S)
        counts = ", ".join(f"{what} {count:,}" for what, count in attack.counts.items())
        return {"attack": name, **observed.row(), "attackers": counts, "gate's count": failures_counted(metrics)}, faults


@dataclasses.dataclass(frozen=True)
class Observed:
    """Good users undisturbed and under the attack, the memory's peaks in both halves of it, and the gate before and after."""

    undisturbed: dict
    attacked: dict
    halves: tuple[int, int]
    before: dict
    after: dict

    @property
    def share(self) -> float:
        return self.attacked["done"] / self.undisturbed["done"] if self.undisturbed["done"] else 0

    def bounds_broken(self) -> list[str]:
        first, second = self.halves
        before, peak = self.before["bytes"], max(self.halves)
        left = self.after["descriptors"] - self.before["descriptors"]
        bounds = {
            f"good users got {self.share:.1%} of what they get undisturbed": self.share < GOOD_SHARE_MIN,
            f"{self.attacked['lost']} good sockets were lost": self.attacked["lost"] > self.undisturbed["lost"],
            f"memory grew from {mib(first)} to {mib(second)} MiB under it": second > first * GROWTH_MAX + GROWTH_BYTES_SLACK,
            f"memory grew from {mib(before)} to {mib(peak)} MiB": peak > before + ATTACK_BYTES_MAX,
            f"{left} descriptors were left": left > 0,
        }
        return [bound for bound, is_broken in bounds.items() if is_broken]

    def row(self) -> dict:
        return {
            "good/s alone": f"{self.undisturbed['done'] / self.undisturbed['wall_s']:,.0f}",
            "under it": f"{self.attacked['done'] / self.attacked['wall_s']:,.0f}",
            "share": f"{self.share:.1%}",
            "MiB before": mib(self.before["bytes"]),
            "1st half": mib(self.halves[0]),
            "2nd half": mib(self.halves[1]),
            "descriptors": f"{self.before['descriptors']} > {self.after['descriptors']}",
        }


def gate_faults(gate: Gate) -> list[str]:
    faults, log = [] if gate.is_alive() else ["the gate has ended"], gate.log_text()
    return faults + ([f"the gate panicked: {log[-LOG_BYTES_SHOWN:]}"] if "panicked" in log else [])


# -- The gate ----------------------------------------------------------------------------------------------------------


def sample(gate: Gate) -> dict:
    """Resident memory and open descriptors now."""
    return {"bytes": observe.rss_bytes(gate.pid), "descriptors": observe.descriptors(gate.pid)}


def wait_for_descriptors(gate: Gate, count: int) -> dict:
    """Waits for a while until there are at most `count`."""
    until = time.monotonic() + RECOVERY_S_MAX
    while gate.is_alive() and (now := sample(gate))["descriptors"] > count and time.monotonic() < until:
        time.sleep(SAMPLE_S)
    return now if gate.is_alive() else {"bytes": 0, "descriptors": 0}


class MemorySampler:
    """The gate's memory while an attack lasts, sampled on a thread of its own."""

    def __init__(self, gate: Gate):
        self.gate, self.stopped, self.bytes = gate, threading.Event(), []
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> "MemorySampler":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopped.set()
        self.thread.join()

    def run(self) -> None:
        while not self.stopped.wait(SAMPLE_S) and self.gate.is_alive():
            self.bytes.append(sample(self.gate)["bytes"])

    def halves(self) -> tuple[int, int]:
        """The peaks of both halves of the time."""
        middle = len(self.bytes) // 2
        return max(self.bytes[:middle], default=0), max(self.bytes[middle:], default=0)


# -- Users and attackers -----------------------------------------------------------------------------------------------


def paced_client(gate: Gate, number: int, rate: float, addresses: str, token: str | None = None) -> BareClient:
    """A bare client that starts handshakes at a fixed rate."""
    return BareClient(gate, "-n", number, "-r", rate, "--source-ip", addresses, token=token)


def good_users(gate: Gate, rate: float, seconds: float) -> dict:
    """Good users in the clear."""
    with paced_client(gate, int(rate * seconds), rate, GOOD_ADDRESSES) as client:
        return client.read_line(within_s=seconds * 3 + 60)


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
        except BaseException as failure:  # raised again by the thread that waits
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
        if not self.under_way.wait(UNDER_WAY_WITHIN_S):
            fail(f"the attack was not under way within {UNDER_WAY_WITHIN_S} s")

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    def scaled(self, size: float) -> int:
        return max(1, int(size * self.scale))

    def ticks(self, per_s: float) -> Iterator[None]:
        """Yields so often a second until the attack is stopped; missed ticks are not repeated."""
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
            peer.settimeout(CALL_S_MAX)
            peer.connect(("127.0.0.1", self.gate.port))
            peer.setblocking(False)
        except OSError:
            peer.close()
            self.count("not connected")
            return None
        self.count("connected")
        return peer

    def authenticate(self, place: int, receive_bytes: int | None = None) -> socket.socket | None:
        """The same, accepted as a raw WebSocket with a valid token."""
        peer = self.connect(place, receive_bytes)
        if peer is None:
            return None
        try:
            peer.settimeout(CALL_S_MAX)
            peer.sendall(
                f"GET /ws?token={tokens.mint(SECRET)} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            if not peer.recv(1024).startswith(b"HTTP/1.1 101 "):
                raise ConnectionError
            peer.setblocking(False)
        except OSError:
            peer.close()
            self.count("refused")
            return None
        self.count("accepted")
        return peer


def send(attack: Attack, peer: socket.socket | None, data: bytes) -> socket.socket | None:
    """Sends; the socket while it is open, else `None`."""
    if peer is None:
        return None
    try:
        peer.send(data)
        if not peer.recv(1024):
            raise ConnectionError
    except BlockingIOError:
        return peer
    except OSError:
        attack.count("closed by the gate")
        peer.close()
        return None
    return peer


def close(peers: list[socket.socket | None]) -> None:
    for peer in peers:
        if peer is not None:
            peer.close()


# -- Output ------------------------------------------------------------------------------------------------------------


def failures_counted(metrics: dict[str, float]) -> str:
    """What the gate counted besides good handshakes, the most frequent first."""
    label = "gatekeeper_handshakes_total{"
    counts = {
        name.removeprefix(label).rstrip("}").replace("outcome=", "").replace("reason=", "").replace('"', ""): value
        for name, value in metrics.items()
        if name.startswith(label) and value > 1 and "established" not in name
    }
    most = sorted(counts.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name.replace(',', ' ')} {value:,.0f}" for name, value in most)


def mib(count: int) -> str:
    return f"{count / (1 << 20):.1f}"


def table(rows: list[dict]) -> str:
    heads = list(rows[0])
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    lines = [heads] + [list(row.values()) for row in rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)
