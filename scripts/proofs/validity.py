"""gatecrash judges itself rightly: a healthy generator is valid in every run, and a starved one is invalid in every run.

A starved generator is held to a tenth of its core, in a fifth as many runs: by turns beside a busy process of ten times
its weight, and stopped for 90 ms of every 100.
"""

import argparse
import contextlib
import pathlib
import signal
import subprocess
import threading

from harness import paced_run
from harness.gatecrash import INVALID
from harness.programs import CLIENT_CPU, at_least_one, fail, note, pinned, raise_descriptor_limit

RUN_SECONDS = 3
HEALTHY_RATE_PER_S = 3000
# A third of a core, where it has one.
STARVED_RATE_PER_S = 12_000
# If it got much more than a tenth of a core, nothing would be proved.
STARVED_SHARE_MAX = 0.15
RUNNING_SECONDS, PERIOD_SECONDS = 0.01, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/prove validity", description=__doc__)
    parser.add_argument("runs", type=at_least_one, nargs="?", default=50, help="healthy runs [default: %(default)s]")
    parser.add_argument("--record", type=pathlib.Path, help="a file of the runs done so far; they are not repeated")
    parser.add_argument("--seconds", type=at_least_one, default=RUN_SECONDS, help="of each run [default: %(default)s]")
    asked = parser.parse_args()
    raise_descriptor_limit()
    record = Record(asked.record)
    starved_runs = max(len(STARVATIONS), asked.runs // 5)
    with paced_run.floor() as server:
        for number in range(asked.runs):
            record.once(f"healthy {number + 1}", lambda: healthy(server, asked.seconds))
        for number in range(starved_runs):
            how = list(STARVATIONS)[number % len(STARVATIONS)]
            record.once(f"starved {number + 1}, {how}", lambda: starved(server, asked.seconds, STARVATIONS[how]))
    print(f"{asked.runs} healthy runs, 0 invalid; {starved_runs} with a tenth of a core, 0 valid")


class Record:
    """Runs that are done, a line each, so that an interrupted proof continues."""

    def __init__(self, path: pathlib.Path | None):
        self.path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self.names = {line.split(": ")[0] for line in lines if ": " in line}

    def once(self, name: str, run) -> None:
        """Runs it unless it is in the record."""
        if name in self.names:
            return
        line = f"{name}: {run()}"
        note(line)
        if self.path:
            with self.path.open("a") as file:
                print(line, file=file)


def healthy(server, seconds: int) -> str:
    run = paced_run.run(server, HEALTHY_RATE_PER_S, HEALTHY_RATE_PER_S * seconds)
    if run.exit_code != 0:
        note(f"a healthy run was invalid: {run.result['validity']['reasons']}")
        raise SystemExit(INVALID)
    return f"valid, lag p99 {run.result['generator']['lag_p99_us']:.0f} us"


def starved(server, seconds: int, starvation) -> str:
    run = paced_run.run(server, STARVED_RATE_PER_S, STARVED_RATE_PER_S * seconds, starve=starvation)
    reasons = run.result["validity"]["reasons"]
    if run.exit_code != INVALID or not any("began late" in reason for reason in reasons):
        fail(f"a starved run left with {run.exit_code}: {reasons}")
    if run.cpu_share > STARVED_SHARE_MAX:
        fail(f"a starved run had {run.cpu_share:.1%} of a core, which is not a tenth")
    return f"invalid, {run.cpu_share:.1%} of a core: {reasons[0]}"


@contextlib.contextmanager
def beside_a_busy_process(_process: subprocess.Popen):
    busy = subprocess.Popen([*pinned(CLIENT_CPU), "sh", "-c", "while :; do :; done"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


@contextlib.contextmanager
def stopped_and_continued(process: subprocess.Popen):
    over = threading.Event()

    def stop_and_continue() -> None:
        while not over.is_set():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                over.wait(RUNNING_SECONDS)
                process.send_signal(signal.SIGSTOP)
            over.wait(PERIOD_SECONDS - RUNNING_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=stop_and_continue)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


STARVATIONS = {
    # Nice 10 weighs 110, the usual priority 1,024 (`sched_prio_to_weight` of the kernel).
    "by weight": (("nice", "-n", "10"), beside_a_busy_process),
    # It runs for 10 ms of every 100, as does a container that is given a tenth of a core.
    "by quota": ((), stopped_and_continued),
}

if __name__ == "__main__":
    main()
