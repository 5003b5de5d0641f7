"""A gate as the proofs start it: with its usual log and limits, of one process or several."""

from harness import observe
from harness.programs import ENVIRONMENT, GATEKEEPER, Server

# A process has 20,000 descriptors at most on many machines, of which the gate keeps 1,280; the kernel distributes sockets
# over processes by a hash, so some get more than others.
SOCKETS_PER_PROCESS = 17_000
# Ports of one source address for one server.
SOCKETS_PER_ADDRESS = 8_000


class Gate(Server):
    """A gate, without a frontend unless another role is named."""

    def __init__(self, *flags: str, listen: str = "127.0.0.1:0", role: str = "gate"):
        command = (GATEKEEPER, f"--role={role}", f"--listen={listen}", "--secret=env:SECRET", *flags)
        super().__init__(command, environment=ENVIRONMENT)
        self.frontend = self.ready.get("frontend")
        # The processes that have the sockets.
        self.pids = self.ready.get("gate_pids") or [self.pid]

    def resident_bytes(self) -> int:
        return observe.rss_bytes(*self.pids)


def sockets_by_process(metrics: dict[str, float]) -> list[str]:
    return [f"{value:,.0f}" for name, value in metrics.items() if name.startswith("gatekeeper_process_sessions_open")]


def ping_timeouts(metrics: dict[str, float]) -> float:
    """Sockets that the gate closed because a heartbeat was not answered."""
    return metrics['gatekeeper_sessions_ended_total{reason="ping_timeout"}']
