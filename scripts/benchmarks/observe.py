"""What a process and the kernel say about themselves."""

import pathlib
import time

SETTLE_SECONDS = 0.02
# A process that is done with its load uses less than this between two looks.
SETTLED_NS = 100_000


def cpu_ns(pid: int) -> int:
    """Processor time of a whole process, in nanoseconds: /proc's ticks are of 10 ms (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def settled_cpu_ns(pid: int) -> int:
    """The same once the process rests: the last sockets of a load are closed a little after it."""
    before = cpu_ns(pid)
    while True:
        time.sleep(SETTLE_SECONDS)
        now = cpu_ns(pid)
        if now - before < SETTLED_NS:
            return now
        before = now


def rss_bytes(pid: int) -> int:
    """Resident memory of a process, counted page by page (VmRSS lags behind by up to 64 pages per thread)."""
    return _kib(f"/proc/{pid}/smaps_rollup", "Rss:") * 1024


def kernel_bytes() -> int:
    """The kernel's own memory for sockets: its slab, and the pages of TCP's buffers."""
    tcp_pages = 0
    for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:":
            tcp_pages = int(words[words.index("mem") + 1])
    return _kib("/proc/meminfo", "Slab:") * 1024 + tcp_pages * 4096


def _kib(file: str, field: str) -> int:
    for line in pathlib.Path(file).read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise LookupError(f"{file} has no {field}")
