"""The programs that benchmarks and proofs start: where they are, how they are started, read and ended."""

import json
import os
import pathlib
import resource
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request

from harness import tokens

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATEKEEPER = ROOT / "target/release/gatekeeper"
GATECRASH = ROOT / "target/release/gatecrash"
PEERS = ROOT / "target/peers/cargo/release"
# gatecrash checks the accept key, so the floor computes it.
FLOOR_WITH_KEYS = (PEERS / "floor", "--answer-keys")

# A server runs on one core, and what loads it on another.
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, CLIENT_CPU = CPUS[-1], CPUS[0]

SECRET = "a secret of at least 32 bytes, as RFC 7518 asks"
ENVIRONMENT = os.environ | {"SECRET": SECRET}
# Benchmarks do not measure the log.
QUIET = ENVIRONMENT | {"RUST_LOG": "warn"}
# One source address has some 28,000 ports for a server, and ports of connections closed by FIN stay unusable for a minute.
SOURCES = "127.0.0.2-127.0.0.65"


class Program:
    """A started program whose lines on standard output are JSON. Leaving its `with` kills it."""

    def __init__(self, command, *, cpus: tuple[int, ...] = (), prefix: tuple[str, ...] = (), environment=QUIET):
        """Runs `command` on `cpus` (all where none is named), started by `prefix`, for instance a priority."""
        self.command = [*prefix, *pinned(*cpus), *map(str, command)]
        self.name = pathlib.Path(command[0]).name
        # A file, because a pipe that nobody reads fills up.
        self.log = tempfile.TemporaryFile()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = subprocess.Popen(self.command, env=environment, text=True, **pipes)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def read_line(self, within_s: float | None = None) -> dict:
        """Its next line. A program that prints none in time is killed, which fails."""
        limit = threading.Timer(within_s, self.process.kill) if within_s else None
        if limit:
            limit.start()
        line = self.process.stdout.readline()
        if limit:
            limit.cancel()
        if not line:
            fail(f"{self.name} ended with {self.process.wait()} before it printed a result\n{self.log_text()}")
        return json.loads(line)

    def log_text(self) -> str:
        """What it has written to standard error."""
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode(errors="replace")

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def wait(self, within_s: float) -> int:
        """Waits until it has ended; its exit code."""
        return self.process.wait(timeout=within_s)

    def terminate(self, within_s: float) -> int:
        """Asks it to end (SIGTERM) and waits; its exit code."""
        self.process.terminate()
        return self.wait(within_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Server(Program):
    """A server that has printed its ready line."""

    def __init__(self, command, **how):
        super().__init__(command, **how)
        self.ready = self.read_line()
        self.url = self.ready.get("gate") or self.ready.get("frontend") or f"http://127.0.0.1:{self.ready['port']}"
        self.address = self.url.split("://")[1]
        self.port = int(self.address.rsplit(":", 1)[1])

    def metrics(self, context: ssl.SSLContext | None = None) -> dict[str, float]:
        """The gate's metrics by their names with labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10, context=context) as page:
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


class BareClient(Program):
    """A bare client: it prints its counts when all handshakes of a `--hold` are over, and at its end."""

    def __init__(self, server: Server, *flags: object, token: str | None = None, cpus: tuple[int, ...] = ()):
        super().__init__(bare_client(server, *flags, token=token), cpus=cpus)

    def release(self) -> None:
        """Ends a `--hold end`."""
        self.process.stdin.close()


def bare_client(server: Server, *flags: object, token: str | None = None) -> list[str]:
    """The command of a bare client."""
    command = [PEERS / "bare-client", "--target", server.address, "--token", token or tokens.mint(SECRET)]
    return [*map(str, (*command, *flags))]


def gatekeeper(*flags: str, program: pathlib.Path = GATEKEEPER) -> tuple[str, ...]:
    """The command of a gate on a free port."""
    return (str(program), "--role=gate", "--listen=127.0.0.1:0", "--secret=env:SECRET", "--die-with-parent", *flags)


def pinned(*cpus: int) -> tuple[str, ...]:
    """The start of a command that runs on these processors only."""
    return ("taskset", "-c", ",".join(map(str, cpus))) if cpus else ()


def real_time() -> tuple[str, ...]:
    """The start of a command that runs at real-time priority, where the machine allows it. It then runs as soon as it
    wakes; otherwise it waits for up to a slice (4 ms) of the process that runs."""
    prefix = ("chrt", "--rr", "1")
    attempt = subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL, check=False)
    return prefix if attempt.returncode == 0 else ()


def certificate(folder: pathlib.Path, key: str = "ecdsa") -> tuple[pathlib.Path, pathlib.Path]:
    """A self-signed certificate for loopback and its private key (`ecdsa` or `rsa`), as files."""
    kinds = {"ecdsa": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa": ("rsa:2048",)}
    certificate_file, key_file = folder / f"{key}.pem", folder / f"{key}-key.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    # Clients refuse a server whose certificate is that of an authority, which is openssl's default.
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
    files = ("-keyout", key_file, "-out", certificate_file)
    command = ("openssl", "req", "-x509", "-nodes", "-newkey", *kinds[key], *names, *leaf, *files)
    subprocess.run(command, check=True, capture_output=True)
    return certificate_file, key_file


def raise_descriptor_limit() -> None:
    """As many descriptors as the machine allows: programs inherit the soft limit of whoever starts them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def at_least_one(text: str) -> int:
    """The type of a flag that counts something."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def fail(why: str):
    raise SystemExit(f"FAILED: {why}")


def exit_with(faults: dict[str, object]) -> None:
    """Ends a proof: prints the faults whose value is true, and exits with 1 if there are any."""
    found = [fault for fault, is_so in faults.items() if is_so]
    for fault in found:
        print(f"FAILED: {fault}")
    raise SystemExit(1 if found else 0)
