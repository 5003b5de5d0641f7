"""Percentiles of the handshake at a fixed rate, as `gatecrash run` measures them."""

import math

from contest import ContestServer
from harness import gatecrash
from harness.programs import CLIENT_CPU, note, pinned

RATE_PER_S = 500


def latency(server: ContestServer, seconds: int, tokens: tuple[str, ...] = gatecrash.MINTED) -> dict:
    """From the planned instant to authenticated, over a warm server; NaN without a valid run."""
    contestant = server.contestant
    target = f"ws://{server.address}/ws" if contestant.protocol == "websocket" else server.url
    flags = ("--protocol", contestant.protocol, *tokens, "--rate", f"{RATE_PER_S}/s", "--duration", f"{seconds}s")
    more = (*gatecrash.CLOSED_AT_ONCE, *gatecrash.ONE_SHARD)
    run = gatecrash.valid_run(target, *flags, *more, prefix=pinned(CLIENT_CPU))
    if run is None:
        note(f"{contestant.name}: no valid run at a fixed rate, this machine is too busy")
    response = run.result["phases"]["handshake"]["response"] if run else {}
    return {metric: (response.get(metric, math.nan), "us") for metric in ("p50_us", "p99_us")}
