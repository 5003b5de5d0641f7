"""Tokens beside the design that they replaced, in which the gate asks the frontend for each connection.

    scripts/bench session-vs-token [--json] [--quick]

Two gates and a frontend run at once on one core, the bare client on another; rounds take turns between the gates, and each
ratio is of two slices of one round.

    token      the gate checks an HS256 token by itself; the frontend has nothing to do
    session    the gate (`--auth session`) asks the frontend over HTTP whose the session is, over at most 32 connections
               that are kept; the frontend has it in memory

    handshakes/s        64 handshakes at once, each closed by a reset as soon as it is authenticated
    gate us, frontend us   processor time of each process per handshake, in the same slices
    ratio               of both processes together to the token's gate in the same round: median [min-max]
    p50, p99            from the planned instant to authenticated, at 500/s, as `gatecrash run` measures it

A frontend that keeps its sessions in a database or in files, as PHP does, takes longer than this one.
"""

import argparse
import base64
import contextlib
import dataclasses
import statistics
import tempfile
import urllib.error
import urllib.request

import contest
import observe
from contest import GATE, GATE_SOCKETIO, Contestant, Server, gatekeeper
from latency import latency
from rows import as_json, as_table, note, spread, spread_column

ROUNDS = 7
LATENCY_SECONDS = 5
# Handshakes in a slice of about half a second.
SLICES = {"token": 20_000, "session": 3000}
CREDENTIALS = base64.b64encode(b"gonzalo:password").decode()
COOKIE = "gatekeeper_session="

FRONTEND = Contestant(
    "frontend",
    (str(contest.GATEKEEPER), *"--role frontend --frontend-listen 127.0.0.1:0 --auth session --die-with-parent".split(),
     "--secret", "env:SECRET"),
    slice=0,
)


@dataclasses.dataclass(frozen=True)
class Side:
    """A gate, what lets its clients in, and who else works for it."""

    gate: Server
    proof: str
    carrier: str
    frontend: Server | None = None

    def handshakes(self, number: int) -> tuple[float, float, float]:
        """Handshakes per second, and the microseconds of gate and frontend for each."""
        processes = [server.pid for server in (self.gate, self.frontend) if server]
        before_ns = [observe.settled_cpu_ns(pid) for pid in processes]
        counts = self.gate.load("-n", number, "--token-name", self.carrier, token=self.proof)
        if counts["done"] != number:
            contest.fail(f"{self.carrier}: {counts['done']} of {number} let in: {counts['stderr']}")
        spent_us = [(observe.settled_cpu_ns(pid) - was) / number / 1000 for pid, was in zip(processes, before_ns)]
        return number / counts["wall_s"], spent_us[0], sum(spent_us[1:])

    def latency(self, seconds: int) -> dict:
        """Percentiles at a fixed rate; NaN where no run was valid."""
        if not self.frontend:
            return latency(self.gate, seconds)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as proofs:
            print(self.proof, file=proofs, flush=True)
            tokens = ("--token-in", f"query:{self.carrier}", "--token-source", f"file:{proofs.name}")
            return latency(self.gate, seconds, tokens)


def main() -> None:
    flags = argparse.ArgumentParser(prog="scripts/bench session-vs-token")
    flags.add_argument("--json", action="store_true", help='print {"rows":[{"name","value","unit"}]}')
    flags.add_argument("--quick", action="store_true", help="2 rounds, raw WebSocket alone")
    asked = flags.parse_args()
    contest.raise_descriptors()
    figures = {}
    with contextlib.ExitStack() as stack:
        frontend = stack.enter_context(Server(FRONTEND))
        session = login(frontend)
        for gate in (GATE,) if asked.quick else (GATE, GATE_SOCKETIO):
            asks = dataclasses.replace(gate, command=asking(frontend), name=f"{gate.name} --auth session")
            sides = {
                "token": Side(stack.enter_context(Server(gate)), contest.jwt.mint(contest.SECRET), "token"),
                "session": Side(stack.enter_context(Server(asks)), session, "session", frontend),
            }
            check(sides["session"])
            figures |= measure(gate.protocol, sides, asked.quick)
    print(as_json("session-vs-token", figures) if asked.json else as_table(figures, COLUMNS))


def asking(frontend: Server) -> tuple[str, ...]:
    url = f"http://127.0.0.1:{frontend.port}/getSessionUser"
    return gatekeeper("--workers", "1", "--auth", "session", "--session-url", url)


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the cookie is in the first answer."""

    def redirect_request(self, *_):
        return None


def login(frontend: Server) -> str:
    """The id of a session of the demo user."""
    address = f"http://127.0.0.1:{frontend.port}/login"
    request = urllib.request.Request(address, headers={"Authorization": f"Basic {CREDENTIALS}"})
    try:
        answer = urllib.request.build_opener(Stay).open(request)
    except urllib.error.HTTPError as redirect:
        answer = redirect
    cookie = answer.headers.get("Set-Cookie") or contest.fail(f"the frontend let nobody in: {answer.status}")
    return cookie.removeprefix(COOKIE).split(";")[0]


def check(session: Side) -> None:
    """Holds the gate to its word: a session that never was lets nobody in."""
    strange = session.gate.load("-n", 20, "--token-name", "session", token="never-was")
    if (strange["done"], strange["failed"]) != (0, 20):
        contest.fail(f"{strange['done']} of 20 sessions that never were let somebody in")


def measure(protocol: str, sides: dict[str, Side], quick: bool) -> dict:
    for what, side in sides.items():
        side.handshakes(SLICES[what])
    rounds = [
        {what: side.handshakes(SLICES[what]) for what, side in sides.items()} for _ in range(2 if quick else ROUNDS)
    ]
    figures = {}
    for what, side in sides.items():
        slices = [each[what] for each in rounds]
        note(f"{protocol}, {what}: {1 if quick else LATENCY_SECONDS} s at a fixed rate")
        figures[f"{protocol}-{what}"] = {
            "handshakes_per_s": (statistics.median(rate for rate, *_ in slices), "1/s"),
            "gate_cpu_us": (statistics.median(gate_us for _, gate_us, _ in slices), "us"),
            "frontend_cpu_us": (statistics.median(frontend_us for *_, frontend_us in slices), "us"),
            **spread("cpu_ratio", [sum(each[what][1:]) / sum(each["token"][1:]) for each in rounds]),
            **spread("rate_ratio", [each[what][0] / each["token"][0] for each in rounds]),
            **side.latency(1 if quick else LATENCY_SECONDS),
        }
    return figures


COLUMNS = {
    "handshakes/s": lambda row: f"{row['handshakes_per_s'][0]:,.0f}",
    "gate us": lambda row: f"{row['gate_cpu_us'][0]:.1f}",
    "frontend us": lambda row: f"{row['frontend_cpu_us'][0]:.1f}",
    "ratio": spread_column("cpu_ratio"),
    "p50 us": lambda row: f"{row['p50_us'][0]:,.0f}",
    "p99 us": lambda row: f"{row['p99_us'][0]:,.0f}",
}

if __name__ == "__main__":
    main()
