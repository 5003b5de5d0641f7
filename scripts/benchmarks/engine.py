"""The load engine on trial, against the floor server, each on a core of its own and before whatever else runs on the
machine, where that may be had (chrt, nice): it is the engine that is measured, not its neighbours.

    scripts/bench lag [--json] [--rounds N]
    scripts/prove validity [RUNS]
    scripts/prove million [HANDSHAKES]

lag         how late arrivals begin, by the share of its core that the generator spends
validity    a healthy generator is valid in every one of so many runs, and one that is held to a tenth of its core is
            called invalid in every one of a fifth as many: by turns beside a busy process of ten times its weight, and
            stopped for 90 ms of every 100
million     so many handshakes in one run: the generator's resident memory, looked at each second, does not grow; then
            10,000/s for ten seconds
"""

import argparse
import contextlib
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import contest
import observe
from rivals import FLOOR, GATECRASH, INVALID, Load
from rows import as_json, as_table, note

RUN_SECONDS = 3

# Handshakes per second, closed at once: from a twentieth of a core to nearly all of it.
LAG_RATES = (1000, 3000, 6000, 10_000, 14_000, 18_000, 22_000, 26_000, 30_000)
# Before a run a generator asks for as many descriptors as it could need, of which many machines grant 20,000.
LAG_NUMBER_MAX = 19_000

HEALTHY_RATE = 3000
# A third of a core, where it has one.
STARVED_RATE = 12_000
# What a generator gets that is held to a tenth of a core: if it got much more, nothing would be proved.
STARVED_SHARE_MAX = 0.15
QUOTA_SECONDS, PERIOD_SECONDS = 0.01, 0.1

MILLION_RATE = 8000
PEAK_RATE, PEAK_SECONDS = 10_000, 10
# Of the looks at its memory, the first part is the warm-up: tables and histograms are made when first needed.
WARM_SHARE = 0.25
# What a run keeps for each of its seconds: a row for the result, with the sparse histograms of that second. Sockets,
# tokens and figures of handshakes leave nothing behind.
GROWTH_BYTES_PER_S_MAX = 16 * 1024
# What is made once but late, whatever the length of the run: octaves of histograms that a rare latency needs first.
GROWTH_BYTES_ONCE = 1 << 20


def main() -> None:
    what, *rest = sys.argv[1:]
    asked = arguments(what, rest)
    contest.raise_descriptors()
    with contest.Server(FLOOR, before=contest.real_time()) as server:
        PARTS[what](server, asked)


def arguments(what: str, rest: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"scripts/{'bench' if what == 'lag' else 'prove'} {what}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if what == "lag":
        parser.add_argument("--json", action="store_true", help='{"rows":[{"name","value","unit"}]}')
        parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds [default: 3]")
    else:
        parser.add_argument("number", type=int)
    if what == "validity":
        parser.add_argument("--record", type=pathlib.Path, help="where to note what was done, and to go on from")
        parser.add_argument("--seconds", type=int, default=RUN_SECONDS, help="of each run [default: %(default)s]")
    return parser.parse_args(rest)


def lag(server: contest.Server, asked: argparse.Namespace) -> None:
    taken = {rate: [] for rate in LAG_RATES}
    for number in range(asked.rounds):
        for rate in LAG_RATES:
            taken[rate].append(run(server, rate, min(rate * RUN_SECONDS, LAG_NUMBER_MAX)).result)
        note(f"round {number + 1} of {asked.rounds}")
    figures = {f"{rate}/s": of_rate(results) for rate, results in taken.items()}
    print(as_json("lag", figures) if asked.json else as_table(figures, LAG_COLUMNS))


LAG_COLUMNS = {
    "share of a core": lambda row: f"{row['cpu_share'][0] * 100:.0f} %",
    "of it the spin": lambda row: f"{row['spin_share'][0] * 100:.0f} %",
    "CPU us per handshake": lambda row: f"{row['cpu_us_per_handshake'][0]:.1f}",
    "lag p50 us": lambda row: f"{row['lag_p50'][0]:.1f}",
    "lag p99 us": lambda row: "{:.0f} [{:.0f}-{:.0f}]".format(*(row[f"lag_p99{end}"][0] for end in ("", "_min", "_max"))),
}


def of_rate(results: list[dict]) -> dict:
    lags = [result["phases"]["handshake"]["lag"] for result in results]
    p99 = [lag["p99_us"] for lag in lags]
    median = lambda key: statistics.median(result["generator"][key] for result in results)  # noqa: E731
    return {
        "cpu_share": (median("cpu_share"), "ratio"),
        "spin_share": (median("spin_share"), "ratio"),
        "cpu_us_per_handshake": (median("cpu_us_per_handshake"), "us"),
        "lag_p50": (statistics.median(lag["p50_us"] for lag in lags), "us"),
        "lag_p99": (statistics.median(p99), "us"),
        "lag_p99_min": (min(p99), "us"),
        "lag_p99_max": (max(p99), "us"),
    }


def validity(server: contest.Server, asked: argparse.Namespace) -> None:
    done = Record(asked.record)
    for number in range(asked.number):
        if not done.has(name := f"healthy {number + 1}"):
            one = run(server, HEALTHY_RATE, HEALTHY_RATE * asked.seconds)
            if one.exit_code != 0:
                note(f"{name} was invalid: {one.result['validity']['reasons']}")
                raise SystemExit(INVALID)
            lag_us = one.result["generator"]["lag_p99_us"]
            done.add(name, f"valid, lag p99 {lag_us:.0f} us")
    starved_runs = max(len(STARVATIONS), asked.number // 5)
    for number in range(starved_runs):
        how = list(STARVATIONS)[number % len(STARVATIONS)]
        if not done.has(name := f"starved {number + 1}, {how}"):
            one = run(server, STARVED_RATE, STARVED_RATE * asked.seconds, how=STARVATIONS[how])
            reasons = one.result["validity"]["reasons"]
            if one.exit_code != INVALID or not any("began late" in reason for reason in reasons):
                contest.fail(f"{name} left with {one.exit_code}: {reasons}")
            if one.cpu_share > STARVED_SHARE_MAX:
                contest.fail(f"{name} had {one.cpu_share:.1%} of a core, which is not a tenth")
            done.add(name, f"invalid, {one.cpu_share:.1%} of a core: {reasons[0]}")
    print(f"{asked.number} healthy runs, 0 invalid; {starved_runs} with a tenth of a core, 0 valid")


class Record:
    """What was done, a line each, so that a proof goes on where it was interrupted."""

    def __init__(self, path: pathlib.Path | None):
        self.path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self.names = {line.split(": ")[0] for line in lines if ": " in line}

    def has(self, name: str) -> bool:
        return name in self.names

    def add(self, name: str, what: str) -> None:
        note(f"{name}: {what}")
        if self.path:
            with self.path.open("a") as file:
                file.write(f"{name}: {what}\n")


@contextlib.contextmanager
def beside_a_busy_process(_process: subprocess.Popen):
    busy = subprocess.Popen(["taskset", "-c", str(contest.CLIENT_CPU), "sh", "-c", "while :; do :; done"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


@contextlib.contextmanager
def stopped_and_continued(process: subprocess.Popen):
    over = threading.Event()

    def hold() -> None:
        while not over.is_set():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                over.wait(QUOTA_SECONDS)
                process.send_signal(signal.SIGSTOP)
            over.wait(PERIOD_SECONDS - QUOTA_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# How a process is started, and what is done to it then.
WHOLE = (contest.real_time(), contextlib.nullcontext)
# The kernel takes a twentieth of each second from real-time processes that leave nothing to others, and one that paces so
# many arrivals a second does: it spins for up to 60 us before each. Without the right to nice(1) it is as it was.
WHOLE_AND_BUSY = (("nice", "-n", "-20"), contextlib.nullcontext)
BUSY_RATE_MIN = 8000
STARVATIONS = {
    # Nice 10 weighs 110, the usual priority 1,024 (`sched_prio_to_weight` of the kernel).
    "by weight": (("nice", "-n", "10"), beside_a_busy_process),
    # It runs for 10 ms of every 100, as a container does that is given a tenth of a core.
    "by quota": ((), stopped_and_continued),
}


def million(server: contest.Server, asked: argparse.Namespace) -> None:
    looks = []
    one = run(server, MILLION_RATE, asked.number, look=lambda pid: looks.append(observe.rss_bytes(pid)))
    totals, rate_per_s = one.result["totals"], one.result["rates"]["established_per_s"]
    if len(looks) < 3:
        contest.fail("it was over before its memory could be looked at")
    warm = looks[int(len(looks) * WARM_SHARE)]
    grown, seconds = looks[-1] - warm, len(looks) * (1 - WARM_SHARE)
    print(f"{totals['established']:,} of {totals['planned']:,} handshakes at {rate_per_s:,.0f}/s, exit {one.exit_code}, "
          f"lag p99 {one.result['generator']['lag_p99_us']:.0f} us")
    print(f"resident memory: {looks[0]:,} bytes at first, {warm:,} when warm, {looks[-1]:,} at last, "
          f"{max(looks):,} at its peak; {grown / seconds:,.0f} bytes a second")
    if totals["established"] != asked.number:
        contest.fail(f"not all were established: {totals}")
    if grown > max(GROWTH_BYTES_ONCE, seconds * GROWTH_BYTES_PER_S_MAX):
        contest.fail(f"memory grew by {grown:,} bytes in {seconds:.0f} s")
    peak_seconds = min(PEAK_SECONDS, max(1, asked.number // PEAK_RATE))
    peak = run(server, PEAK_RATE, PEAK_RATE * peak_seconds)
    generator, rate_per_s = peak.result["generator"], peak.result["rates"]["established_per_s"]
    print(f"asked for {PEAK_RATE:,}/s: {rate_per_s:,.0f}/s established over {peak_seconds} s, exit {peak.exit_code}, "
          f"{generator['cpu_share']:.0%} of a core, {generator['spin_share']:.0%} in the spin, "
          f"lag p99 {generator['lag_p99_us']:.0f} us")
    if peak.result["totals"]["established"] != PEAK_RATE * peak_seconds:
        contest.fail(f"not all were established: {peak.result['totals']}")
    # The scripts run an invalid one again. The second one is told and not judged: at that rate a slower machine takes more of
    # the core than the four fifths above which a run is invalid.
    raise SystemExit(one.exit_code)


class Ended:
    """A run that has ended."""

    def __init__(self, exit_code: int, result: dict, cpu_share: float):
        self.exit_code, self.result = exit_code, result
        # Of a core, by the kernel's count over its whole life.
        self.cpu_share = cpu_share


def run(server: contest.Server, rate: int, number: int, how=None, look=None) -> Ended:
    """One run, with a core of its own or as `how` says. `look` is told its process each second."""
    start, meanwhile = how or (WHOLE_AND_BUSY if rate >= BUSY_RATE_MIN else WHOLE)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        load = Load(number, rate_per_s=rate)
        command = [*start, "taskset", "-c", str(contest.CLIENT_CPU), *GATECRASH.command(server, out, load)]
        started, cpu_ns = time.monotonic(), 0
        process = subprocess.Popen(command, env=contest.ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with meanwhile(process):
            while process.poll() is None:
                with contextlib.suppress(OSError, LookupError):
                    cpu_ns = observe.cpu_ns(process.pid)
                    if look:
                        look(process.pid)
                time.sleep(1 if look else 0.02)
        cpu_share = cpu_ns / 1e9 / (time.monotonic() - started)
        words = process.stderr.read().decode()
        if process.returncode not in (0, INVALID):
            contest.fail(f"gatecrash: exit {process.returncode}\n{words}")
        return Ended(process.returncode, json.loads((out / "result/result.json").read_text()), cpu_share)


PARTS = {"lag": lag, "validity": validity, "million": million}

if __name__ == "__main__":
    main()
