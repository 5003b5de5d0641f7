"""The gate under attack: what good users get while others attack it, and what it costs the gate.

Starts `target/release/gatekeeper` and, attack by attack, runs good users at a fixed rate for S seconds: first
undisturbed, then under the attack; then it watches the gate recover. Prints a table and exits with 1 when a bound is
broken (under_attack.py names them). The scale shrinks the attacks' sizes and rates (--good the good users'), so that a
short form takes seconds.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable

from harness import tokens
from harness.programs import SECRET, fail
from under_attack import Attack, Proof, close, good_users, paced_client, send

FORGER_ADDRESSES = "127.0.1.1-127.0.1.64"
RECONNECTS_PER_S = 1_000  # of those whose connection was closed


def main() -> None:
    Proof("attack", __doc__, ATTACKS, good_users, seconds=20.0, good_per_s=1000).run()


def half_open(attack: Attack) -> None:
    """10,000 connections whose request comes at a byte a second; each that is closed is opened again."""
    turns_per_s = 20
    peers: list[socket.socket | None] = [None] * attack.scaled(10_000)
    reconnects_max = RECONNECTS_PER_S // turns_per_s
    for turn, _ in enumerate(attack.ticks(turns_per_s)):
        reconnects = reconnects_max if attack.under_way.is_set() else len(peers)
        for place in range(turn % turns_per_s, len(peers), turns_per_s):
            if peers[place] is None and reconnects > 0:
                reconnects -= 1
                peers[place] = attack.connect(place)
            peers[place] = send(attack, peers[place], b"G" if turn < turns_per_s else b"E")
        if turn == turns_per_s:
            attack.under_way.set()
    close(peers)


def forged(attack: Attack) -> None:
    """5,000 handshakes a second with a token whose signature is invalid."""
    rate = attack.scaled(5_000)
    reason = 'gatekeeper_handshakes_total{outcome="refused",reason="signature_invalid"}'
    # So many that it lasts longer than the good users' run.
    with paced_client(attack.gate, rate * 600, rate, FORGER_ADDRESSES, tokens.forge(SECRET)) as forger:
        for _ in attack.ticks(20):
            if not forger.is_alive():
                fail("the client with forged tokens ended early")
            if attack.gate.metrics()[reason] > rate / 2:
                attack.under_way.set()
                break
        before, since = attack.gate.metrics()[reason], time.monotonic()
        attack.stopped.wait()
        refused = attack.gate.metrics()[reason] - before
        attack.count("refused a second", int(refused / (time.monotonic() - since)))


def large_heads(attack: Attack) -> None:
    """Heads of 1 MB, 200 a second, 64 at once."""
    head = b"GET /ws HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (1 << 20)
    flood(attack, per_s=200, at_once=64, open_one=attack.connect, data=lambda _: head)


def unsent_frames(attack: Attack) -> None:
    """Accepted clients announce frames that they do not send: of 4 GB, 200 a second; and 1,000 of the longest length
    allowed, of which a byte comes a second."""
    turns_per_s = 20
    within = struct.pack(">BBQ4s", 0x82, 0xFF, 1_000_000, b"\0\0\0\0")
    beyond = struct.pack(">BBQ4s", 0x82, 0xFF, 1 << 32, b"\0\0\0\0")
    patient: list[socket.socket | None] = [None] * attack.scaled(1_000)
    for turn, _ in enumerate(attack.ticks(turns_per_s)):
        for place in range(turn % turns_per_s, len(patient), turns_per_s):
            if patient[place] is None:
                patient[place] = attack.authenticate(place)
                patient[place] = send(attack, patient[place], within)
            patient[place] = send(attack, patient[place], b"x")
        for _ in range(attack.scaled(200 / turns_per_s)):
            peer = attack.authenticate(turn)
            close([send(attack, peer, beyond)])
        if turn == turns_per_s:
            attack.under_way.set()
    close(patient)


def never_read(attack: Attack) -> None:
    """200 accepted clients send messages that are echoed, and never read."""
    message = struct.pack(">BBH4s", 0x82, 0xFE, 60_000, b"\0\0\0\0") + b"x" * 60_000
    small_buffer = lambda place: attack.authenticate(place, receive_bytes=4096)  # noqa: E731
    flood(attack, per_s=100, at_once=200, open_one=small_buffer, data=lambda _: message * 4)


def flood(
    attack: Attack,
    per_s: int,
    at_once: int,
    open_one: Callable[[int], socket.socket | None],
    data: Callable[[int], bytes],
) -> None:
    """Clients that send as fast as the gate reads; so many start a second, so many exist at once."""
    turns_per_s = 50
    peers: list[tuple[socket.socket, memoryview]] = []
    places = attack.scaled(at_once)
    started = 0.0
    for turn, _ in enumerate(attack.ticks(turns_per_s)):
        started = min(started + attack.scaled(per_s) / turns_per_s, places)
        while started >= 1 and len(peers) < places:
            started -= 1
            peer = open_one(turn + len(peers))
            if peer is not None:
                peers.append((peer, memoryview(data(turn))))
        kept = []
        for peer, rest in peers:
            with contextlib.suppress(BlockingIOError):
                try:
                    sent = peer.send(rest)
                except BlockingIOError:
                    raise
                except OSError:
                    attack.count("closed by the gate")
                    peer.close()
                    continue
                attack.count("bytes sent", sent)
                rest = rest[sent:] if sent < len(rest) else memoryview(data(turn))
            kept.append((peer, rest))
        peers = kept
        if turn == 2 * turns_per_s:
            attack.under_way.set()
    close([peer for peer, _ in peers])


ATTACKS = {
    "half-open": half_open,
    "forged": forged,
    "large-heads": large_heads,
    "unsent-frames": unsent_frames,
    "never-read": never_read,
}


if __name__ == "__main__":
    main()
