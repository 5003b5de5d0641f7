"""Processor time and memory of processes and of the kernel."""

import pathlib
import time

SETTLE_SECONDS = 0.02
# A process that has finished its work uses less than this between two readings.
SETTLED_NS = 100_000


def cpu_ns(pid: int) -> int:
    """Processor time of a whole process, in nanoseconds: ticks of /proc are 10 ms (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def settled_cpu_ns(pid: int) -> int:
    """The same once the process is idle: the last sockets of a load are closed a little after its end."""
    before = cpu_ns(pid)
    while True:
        time.sleep(SETTLE_SECONDS)
        now = cpu_ns(pid)
        if now - before < SETTLED_NS:
            return now
        before = now


def rss_bytes(*pids: int) -> int:
    """Resident memory of processes, counted page by page (VmRSS lags behind by up to 64 pages per thread)."""
    return sum(_kib(f"/proc/{pid}/smaps_rollup", "Rss:") * 1024 for pid in pids)


def tree_rss_bytes(pid: int) -> int:
    """Resident memory of a process and of all its descendants; 0 for one that has ended."""
    try:
        own = rss_bytes(pid)
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, LookupError):
        return 0
    return own + sum(tree_rss_bytes(int(child)) for child in children)


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def kernel_bytes() -> int:
    """The kernel's memory for all sockets: its slab, and the pages of TCP's buffers (proc(5), sockstat)."""
    lines = map(str.split, pathlib.Path("/proc/net/sockstat").read_text().splitlines())
    tcp = next(line for line in lines if line[0] == "TCP:")
    return _kib("/proc/meminfo", "Slab:") * 1024 + int(tcp[tcp.index("mem") + 1]) * 4096


def _kib(file: str, field: str) -> int:
    for line in pathlib.Path(file).read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise LookupError(f"{file} has no {field}")
