"""What the proofs of the gate share: a gatekeeper of several processes, its figures, bare clients, a token."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GATEKEEPER = ROOT / "target/release/gatekeeper"
BARE_CLIENT = ROOT / "target/peers/cargo/release/bare-client"
SECRET = "0123456789abcdef0123456789abcdef"
# A process has 20,000 descriptors at most on many machines, of which the gate keeps 1,280; the kernel deals sockets to
# processes by a hash, so some get more than others.
SOCKETS_PER_PROCESS = 17_000
# Ports of one source address for one server.
SOCKETS_PER_ADDRESS = 8_000


def token():
    """A token of HS256 that never expires."""

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(b'{"user":{"username":"ann"}}')
    mac = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(mac)).decode()


class Gate:
    """A gate, without a frontend unless another role is named; its log goes to a file, so that nobody has to read it."""

    def __init__(self, *flags, listen="127.0.0.1:0", role="gate"):
        self.log = tempfile.TemporaryFile("w+")
        environment = dict(os.environ, SECRET=SECRET)
        command = [GATEKEEPER, f"--role={role}", f"--listen={listen}", "--secret=env:SECRET", *flags]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the gate did not start:\n{self.told()}")
        ready = json.loads(line)
        self.address = ready["gate"].removeprefix("http://")
        self.frontend = ready.get("frontend")
        self.pids = ready.get("gate_pids") or [ready["pid"]]

    def metrics(self):
        """Its figures by their names with labels."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def resident_bytes(self):
        """Of the processes that have the sockets."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def ends(self, within_s):
        """Waits until it has ended; its exit code."""
        return self.process.wait(timeout=within_s)

    def told(self):
        self.log.seek(0)
        return self.log.read()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Client:
    """A bare client."""

    def __init__(self, gate_address, *flags):
        command = [BARE_CLIENT, "--target", gate_address, "--token", token(), *map(str, flags)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self):
        """Its next line, a JSON object."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a client ended without a word (exit code {self.process.wait()})")
        return json.loads(line)

    def let_go(self):
        """Ends a hold until `end`."""
        self.process.stdin.close()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def by_process(figures):
    name = "gatekeeper_process_sessions_open"
    return [f"{value:,.0f}" for sample, value in figures.items() if sample.startswith(name)]


def timeouts(figures):
    return figures['gatekeeper_sessions_ended_total{reason="ping_timeout"}']


def kernel_bytes():
    """What the kernel holds for sockets: TCP's buffers (proc(5), sockstat) and the slabs, of all processes."""
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    slab = int(memory["Slab"].split()[0]) * 1024
    sockstat = Path("/proc/net/sockstat").read_text().splitlines()
    tcp = next(line.split() for line in sockstat if line.startswith("TCP:"))
    return slab + int(tcp[tcp.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")
