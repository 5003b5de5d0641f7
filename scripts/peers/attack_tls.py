"""The gate under TLS while others do their worst to its handshakes: the bounds are those of attack.py.

    python attack_tls.py [--seconds S] [--scale X] [--good R/s] [ATTACK...]

Good users are gatecrash's, who do a whole TLS handshake each. Both programs are built by `scripts/prove attack-tls`.
"""

import argparse
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile

import attack
from attack import Attack, close, send

GATECRASH = attack.ROOT / "target/release/gatecrash"
# gatecrash judges itself too busy, which says nothing about who was let in.
INVALID = 97


def main() -> int:
    args = attack.arguments(__doc__, ATTACKS, seconds=12, good=200)
    with tempfile.TemporaryDirectory() as folder:
        cert, key = pathlib.Path(folder, "cert.pem"), pathlib.Path(folder, "key.pem")
        make_certificate(cert, key)
        attack.Gate.flags = ("--tls-cert", str(cert), "--tls-key", str(key))
        attack.Gate.context = ssl.create_default_context(cafile=str(cert))
        attack.good_users = lambda gate, args: good_users(gate, args, cert)
        attack.ATTACKS = ATTACKS
        return attack.prove_all(args, args.attacks or list(ATTACKS))


def make_certificate(cert: pathlib.Path, key: pathlib.Path) -> None:
    kind = ("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
    subprocess.run([*kind, *names, *leaf, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)


def good_users(gate: attack.Gate, args: argparse.Namespace, cert: pathlib.Path) -> dict:
    """Good handshakes at a fixed rate: what came of them."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            *(GATECRASH, "run", "--no-tui", "--quiet", "--out", out, "--cacert", cert),
            *("--target", f"wss://{gate.address[0]}:{gate.address[1]}/ws", "--source-ip", attack.GOOD_ADDRESSES),
            *("--token-source", "mint", "--secret", attack.SECRET, "--claims", '{"user":{"username":"ann"}}'),
            *("--rate", f"{args.good}/s", "--duration", f"{args.seconds}s", "--hold", "0s", "--timeout", "5s"),
        ]
        run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        result = pathlib.Path(out, "result.json")
        if not result.exists():
            raise SystemExit(f"attack: gatecrash: exit {run.returncode}\n{run.stdout}{run.stderr}")
        told = json.loads(result.read_text())
    return {
        "done": told["totals"]["established"],
        "lost": told["sockets"]["dropped"],
        "wall_s": args.seconds,
    }


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


def slow_hellos(it: Attack) -> None:
    """5,000 connections whose hello comes at a byte a second; who is ended comes again, 1,000 a second."""
    words = hello()
    peers: list[socket.socket | None] = [None] * it.scaled(5_000)
    said = [0] * len(peers)
    for turn, _ in enumerate(it.ticks(TURNS_PER_S)):
        reconnects = 1_000 // TURNS_PER_S if it.under_way.is_set() else len(peers)
        for place in range(turn % TURNS_PER_S, len(peers), TURNS_PER_S):
            if peers[place] is None and reconnects > 0:
                reconnects -= 1
                peers[place], said[place] = it.connect(place), 0
            byte = words[said[place] : said[place] + 1]
            said[place] += 1
            peers[place] = send(it, peers[place], byte)
        if turn == TURNS_PER_S:
            it.under_way.set()
    close(peers)


def half_handshakes(it: Attack) -> None:
    """Whole hellos, 500 a second, each on a connection of its own that says nothing more: the server signs for each."""
    words = hello()
    peers: list[socket.socket | None] = []
    for turn, _ in enumerate(it.ticks(TURNS_PER_S)):
        # At first as many as may be half-open, so that memory is at its peak when the good users come.
        rate = 500 if it.under_way.is_set() else 2_000
        for _ in range(it.scaled(rate / TURNS_PER_S)):
            peer = it.connect(turn)
            if peer is not None:
                peer.send(words)
                peers.append(peer)
        # More than there may be half-open, and fewer than this process may have.
        while len(peers) > it.scaled(6_000):
            close([peers.pop(0)])
            it.under_way.set()
    it.count("held at the end", len(peers))
    close(peers)


def no_tls(it: Attack) -> None:
    """Plain HTTP, zeros, and records above the largest, 300 of each a second."""
    words = [b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", bytes(64), b"\x16\x03\x01\xff\xff" + bytes(70_000)]
    peers: list[socket.socket | None] = []
    for turn, _ in enumerate(it.ticks(TURNS_PER_S)):
        close(peers)
        peers = []
        for word in words * it.scaled(300 / TURNS_PER_S):
            peer = it.connect(turn)
            if peer is not None:
                try:
                    peer.send(word)
                except OSError:
                    it.count("ended")
                peers.append(peer)
        if turn == 2 * TURNS_PER_S:
            it.under_way.set()
    close(peers)


ATTACKS = {
    "slow-hellos": slow_hellos,
    "half-handshakes": half_handshakes,
    "no-tls": no_tls,
}


if __name__ == "__main__":
    sys.exit(main())
