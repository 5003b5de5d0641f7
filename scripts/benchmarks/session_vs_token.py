"""Tokens beside the design that they replaced, in which the gate asks the frontend for each connection.

Two gates and a frontend run at once on one core, the bare client on another; rounds take turns between the gates, and each
ratio is of two slices of one round.

    token      the gate checks an HS256 token by itself; the frontend has nothing to do
    session    the gate (`--auth session`) asks the frontend over HTTP for the session's user, over at most 32 connections
               that stay open; the frontend has it in memory

    handshakes/s        64 handshakes at once, each closed by a reset as soon as it is authenticated
    gate us, frontend us   processor time of each process per handshake, in the same slices
    ratio               of both processes together to the token's gate in the same round: median [min-max]
    p50, p99            from the planned instant to authenticated, at 500/s, as `gatecrash run` measures it

A frontend that keeps its sessions in a database or in files, as PHP does, takes longer than this one.
"""

import base64
import contextlib
import dataclasses
import tempfile
import urllib.error
import urllib.request

from contest import GATE, GATE_SOCKETIO, Contestant, ContestServer
from figures import arguments, column, median, show, spread, spread_column
from harness import observe
from harness.gatecrash import MINTED
from harness.programs import GATEKEEPER, fail, gatekeeper, note, raise_descriptor_limit
from latency import latency

ROUNDS = 7
LATENCY_SECONDS = 5
# Handshakes in a slice of about half a second.
SLICES = {"token": 20_000, "session": 3000}
CREDENTIALS = base64.b64encode(b"gonzalo:password").decode()
COOKIE = "gatekeeper_session="

FRONTEND = Contestant(
    "frontend",
    (GATEKEEPER, *"--role frontend --frontend-listen 127.0.0.1:0 --auth session --die-with-parent".split(),
     "--secret", "env:SECRET"),
    slice=0,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Side:
    """A gate, how its clients authenticate (by the session where there is a frontend), and the frontend it asks."""

    gate: ContestServer
    session: str | None = None
    frontend: ContestServer | None = None

    def handshakes(self, number: int) -> tuple[float, float, float]:
        """Handshakes per second, and the microseconds of gate and frontend for each."""
        processes = [server.pid for server in (self.gate, self.frontend) if server]
        before_ns = [observe.settled_cpu_ns(pid) for pid in processes]
        counts = self.gate.handshakes(number, "--token-name", "session" if self.session else "token", token=self.session)
        used_us = [(observe.settled_cpu_ns(pid) - before) / number / 1000 for pid, before in zip(processes, before_ns)]
        return number / counts["wall_s"], used_us[0], sum(used_us[1:])

    def latency(self, seconds: int) -> dict:
        """Percentiles at a fixed rate; NaN where no run was valid."""
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as sessions:
            print(self.session, file=sessions, flush=True)
            by_session = ("--token-in", "query:session", "--token-source", f"file:{sessions.name}")
            return latency(self.gate, seconds, by_session if self.session else MINTED)


def main() -> None:
    asked = arguments(__doc__, quick="2 rounds, raw WebSocket alone").parse_args()
    raise_descriptor_limit()
    figures = {}
    with contextlib.ExitStack() as stack:
        frontend = stack.enter_context(ContestServer(FRONTEND))
        session = log_in(frontend)
        url = f"{frontend.url}/getSessionUser"
        command = gatekeeper("--workers=1", "--auth=session", f"--session-url={url}")
        for gate in (GATE,) if asked.quick else (GATE, GATE_SOCKETIO):
            asking = dataclasses.replace(gate, command=command, name=f"{gate.name} --auth session")
            sides = {
                "token": Side(stack.enter_context(ContestServer(gate))),
                "session": Side(stack.enter_context(ContestServer(asking)), session, frontend),
            }
            check_unknown_session(sides["session"].gate)
            figures |= measure(gate.protocol, sides, asked.quick)
    show("session-vs-token", figures, COLUMNS, asked.json)


class FollowNoRedirect(urllib.request.HTTPRedirectHandler):
    """The cookie is in the first answer."""

    def redirect_request(self, *_):
        return None


def log_in(frontend: ContestServer) -> str:
    """The id of a session of the demo user."""
    request = urllib.request.Request(f"{frontend.url}/login", headers={"Authorization": f"Basic {CREDENTIALS}"})
    try:
        answer = urllib.request.build_opener(FollowNoRedirect).open(request)
    except urllib.error.HTTPError as redirect:
        answer = redirect
    cookie = answer.headers.get("Set-Cookie") or fail(f"the login failed: {answer.status}")
    return cookie.removeprefix(COOKIE).split(";")[0]


def check_unknown_session(gate: ContestServer) -> None:
    """The gate must refuse a session that does not exist."""
    unknown = gate.load("-n", 20, "--token-name", "session", token="unknown")
    if (unknown["done"], unknown["failed"]) != (0, 20):
        fail(f"{gate.contestant.name} accepted {unknown['done']} of 20 handshakes with an unknown session")


def measure(protocol: str, sides: dict[str, Side], is_quick: bool) -> dict:
    for name, side in sides.items():
        side.handshakes(SLICES[name])
    number = 2 if is_quick else ROUNDS
    rounds = [{name: side.handshakes(SLICES[name]) for name, side in sides.items()} for _ in range(number)]
    seconds = 1 if is_quick else LATENCY_SECONDS
    figures = {}
    for name, side in sides.items():
        note(f"{protocol}, {name}: {seconds} s at a fixed rate")
        figures[f"{protocol}-{name}"] = {
            "handshakes_per_s": median((each[name][0] for each in rounds), "1/s"),
            "gate_cpu_us": median((each[name][1] for each in rounds), "us"),
            "frontend_cpu_us": median((each[name][2] for each in rounds), "us"),
            **spread("cpu_ratio", [sum(each[name][1:]) / sum(each["token"][1:]) for each in rounds]),
            **spread("rate_ratio", [each[name][0] / each["token"][0] for each in rounds]),
            **side.latency(seconds),
        }
    return figures


COLUMNS = {
    "handshakes/s": column("handshakes_per_s", 0),
    "gate us": column("gate_cpu_us"),
    "frontend us": column("frontend_cpu_us"),
    "ratio": spread_column("cpu_ratio"),
    "p50 us": column("p50_us", 0),
    "p99 us": column("p99_us", 0),
}

if __name__ == "__main__":
    main()
