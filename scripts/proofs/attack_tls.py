"""The gate under TLS while others attack its handshakes: the bounds are those of `scripts/prove attack`.

Good users are gatecrash's; each does a full TLS handshake.
"""

import functools
import pathlib
import socket
import ssl
import tempfile

from gate import Gate
from harness import gatecrash
from harness.programs import certificate
from under_attack import GOOD_ADDRESSES, Attack, Proof, close, send


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cert, key = certificate(pathlib.Path(folder))
        Proof(
            "attack-tls", __doc__, ATTACKS, functools.partial(good_users_by_tls, cert), seconds=12, good_per_s=200,
            gate_flags=(f"--tls-cert={cert}", f"--tls-key={key}"), context=ssl.create_default_context(cafile=cert),
        ).run()  # fmt: skip


def good_users_by_tls(cert: pathlib.Path, gate: Gate, rate: float, seconds: int) -> dict:
    """A run that judges itself invalid, because the machine is busy, counts sockets all the same."""
    target = f"wss://{gate.address}/ws"
    load = ("--rate", f"{rate}/s", "--duration", f"{seconds}s", "--hold", "0s", "--timeout", "5s")
    result = gatecrash.run(target, "--cacert", cert, "--source-ip", GOOD_ADDRESSES, *gatecrash.MINTED, *load).result
    return {"done": result["totals"]["established"], "lost": result["sockets"]["dropped"], "wall_s": seconds}


# -- Attacks -----------------------------------------------------------------------------------------------------------

TURNS_PER_S = 20


def hello() -> bytes:
    """A client's first flight."""
    context = ssl.create_default_context()
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def slow_hellos(attack: Attack) -> None:
    """5,000 connections whose hello comes at a byte a second; each that is closed is opened again, 1,000 a second."""
    first_flight = hello()
    peers: list[socket.socket | None] = [None] * attack.scaled(5_000)
    sent = [0] * len(peers)
    for turn, _ in enumerate(attack.ticks(TURNS_PER_S)):
        reconnects = 1_000 // TURNS_PER_S if attack.under_way.is_set() else len(peers)
        for place in range(turn % TURNS_PER_S, len(peers), TURNS_PER_S):
            if peers[place] is None and reconnects > 0:
                reconnects -= 1
                peers[place], sent[place] = attack.connect(place), 0
            byte = first_flight[sent[place] : sent[place] + 1]
            sent[place] += 1
            peers[place] = send(attack, peers[place], byte)
        if turn == TURNS_PER_S:
            attack.under_way.set()
    close(peers)


def half_handshakes(attack: Attack) -> None:
    """Whole hellos, 500 a second, each on a connection of its own that sends nothing more: the server signs for each."""
    first_flight = hello()
    peers: list[socket.socket | None] = []
    for turn, _ in enumerate(attack.ticks(TURNS_PER_S)):
        # At first as many as may be half-open, so that memory is at its peak when the good users come.
        rate = 500 if attack.under_way.is_set() else 2_000
        for _ in range(attack.scaled(rate / TURNS_PER_S)):
            peer = attack.connect(turn)
            if peer is not None:
                peer.send(first_flight)
                peers.append(peer)
        # More than there may be half-open, and fewer than this process may have.
        while len(peers) > attack.scaled(6_000):
            close([peers.pop(0)])
            attack.under_way.set()
    attack.count("held at the end", len(peers))
    close(peers)


def no_tls(attack: Attack) -> None:
    """Plain HTTP, zeros, and records above the largest, 300 of each a second."""
    inputs = [b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", bytes(64), b"\x16\x03\x01\xff\xff" + bytes(70_000)]
    peers: list[socket.socket | None] = []
    for turn, _ in enumerate(attack.ticks(TURNS_PER_S)):
        close(peers)
        peers = []
        for data in inputs * attack.scaled(300 / TURNS_PER_S):
            peer = attack.connect(turn)
            if peer is not None:
                try:
                    peer.send(data)
                except OSError:
                    attack.count("closed by the gate")
                peers.append(peer)
        if turn == 2 * TURNS_PER_S:
            attack.under_way.set()
    close(peers)


ATTACKS = {
    "slow-hellos": slow_hellos,
    "half-handshakes": half_handshakes,
    "no-tls": no_tls,
}


if __name__ == "__main__":
    main()
