"""Percentiles of the handshake at a fixed rate, as `gatecrash run` measures them."""

import json
import math
import pathlib
import subprocess
import tempfile

import contest
from contest import Server
from rows import note

RATE_PER_S = 500
# gatecrash judges itself, and leaves with this when the machine was too busy to measure on: the run is made again.
INVALID = 97
TRIES_MAX = 4
MINTED = ("--token-source", "mint", "--secret", "env:SECRET", "--claims", '{"user":{"username":"gonzalo"}}', "--token-ttl", "1h")


def latency(server: Server, seconds: int, tokens: tuple[str, ...] = MINTED) -> dict:
    """From the planned instant to authenticated, over a warm server; nothing but NaN without a valid run."""
    name = server.contestant.name
    with tempfile.TemporaryDirectory() as out:
        for _ in range(TRIES_MAX):
            ran = subprocess.run(
                command(server, seconds, out, tokens), env=contest.ENVIRONMENT, capture_output=True, text=True, check=False
            )
            if ran.returncode != INVALID:
                break
        if ran.returncode == INVALID:
            note(f"{name}: no valid run at a fixed rate, this machine is too busy")
            return {"p50_us": (math.nan, "us"), "p99_us": (math.nan, "us")}
        if ran.returncode != 0:
            contest.fail(f"gatecrash against {name}: exit {ran.returncode}\n{ran.stdout}{ran.stderr}")
        response = json.loads(pathlib.Path(out, "result.json").read_text())["phases"]["handshake"]["response"]
    return {"p50_us": (response["p50_us"], "us"), "p99_us": (response["p99_us"], "us")}


def command(server: Server, seconds: int, out: str, tokens: tuple[str, ...]) -> list[str]:
    raw = server.contestant.protocol == "websocket"
    target = f"ws://127.0.0.1:{server.port}/ws" if raw else f"http://127.0.0.1:{server.port}"
    gatecrash = str(contest.ROOT / "target/release/gatecrash")
    return [
        *("taskset", "-c", str(contest.CLIENT_CPU), gatecrash, "run", "--no-tui", "--quiet", "--target", target),
        *("--protocol", server.contestant.protocol, *tokens),
        *("--rate", f"{RATE_PER_S}/s", "--duration", f"{seconds}s", "--hold", "0s", "--auth-grace", "0s"),
        *("--workers", "1", "--pin", "none", "--out", out),
    ]
