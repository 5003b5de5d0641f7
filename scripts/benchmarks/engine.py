"""The load engine on trial, against the floor server, each on a core of its own.

    scripts/bench lag [--json] [--rounds N]
    scripts/prove validity [RUNS]
    scripts/prove million [HANDSHAKES]

lag         how late arrivals begin, by the share of its core that the generator spends
validity    a healthy generator is valid in every one of so many runs of three seconds, and one that is held to a tenth
            of its core is called invalid in every one of a fifth as many
million     so many handshakes in one run at 8,000/s: the generator's resident memory, sampled each second, does not grow;
            then the same at 10,000/s for ten seconds
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import contest
import observe
from rivals import FLOOR, GATECRASH
from rows import as_json, as_table, note

# Handshakes per second, closed at once: from a fifth of a core to nearly all of it.
LAG_RATES = (1000, 3000, 6000, 10_000, 16_000, 22_000, 26_000)
RUN_SECONDS = 3
HEALTHY_RATE = 3000
# A tenth of a core is not enough for so many.
STARVED_RATE = 4000
INVALID = 97
MILLION_RATE = 8000
PEAK_RATE, PEAK_SECONDS = 10_000, 10
# Of the samples, the first part is the warm-up: tables and histograms are made when first needed.
WARM_SHARE = 0.25
# What rows, the log and histograms of a longer run may add, in bytes per second: they are kept per second, not per
# handshake.
GROWTH_BYTES_PER_S_MAX = 64 * 1024


def main() -> None:
    what, *rest = sys.argv[1:]
    contest.raise_descriptors()
    with contest.Server(FLOOR) as server:
        PARTS[what](server, rest)


def lag(server, arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench lag", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help='{"rows":[{"name","value","unit"}]}')
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds [default: 3]")
    asked = parser.parse_args(arguments)
    taken = {rate: [] for rate in LAG_RATES}
    for number in range(asked.rounds):
        for rate in LAG_RATES:
            taken[rate].append(run(server, rate, rate * RUN_SECONDS)[1])
        note(f"round {number + 1} of {asked.rounds}")
    figures = {f"{rate}/s": of_rate(results) for rate, results in taken.items()}
    print(as_json("lag", figures) if asked.json else as_table(figures, LAG_COLUMNS))


LAG_COLUMNS = {
    "share of a core": lambda row: f"{row['cpu_share'][0] * 100:.0f} %",
    "CPU us per handshake": lambda row: f"{row['cpu_us_per_handshake'][0]:.1f}",
    "lag p50 us": lambda row: f"{row['lag_p50'][0]:.0f}",
    "lag p99 us": lambda row: "{:.0f} [{:.0f}-{:.0f}]".format(*(row[f"lag_p99{end}"][0] for end in ("", "_min", "_max"))),
}


def of_rate(results: list[dict]) -> dict:
    lags = [result["phases"]["handshake"]["lag"] for result in results]
    p99 = [lag["p99_us"] for lag in lags]
    median = lambda key: statistics.median(result["generator"][key] for result in results)  # noqa: E731
    return {
        "cpu_share": (median("cpu_share"), "ratio"),
        "cpu_us_per_handshake": (median("cpu_us_per_handshake"), "us"),
        "lag_p50": (statistics.median(lag["p50_us"] for lag in lags), "us"),
        "lag_p99": (statistics.median(p99), "us"),
        "lag_p99_min": (min(p99), "us"),
        "lag_p99_max": (max(p99), "us"),
    }


def validity(server, arguments: list[str]) -> None:
    runs = int(arguments[0]) if arguments else 50
    starved_runs = max(1, runs // 5)
    for number in range(runs):
        code, result = run(server, HEALTHY_RATE, HEALTHY_RATE * RUN_SECONDS)
        if code != 0:
            contest.fail(f"healthy run {number + 1} left with {code}: {result['validity']}")
    note(f"{runs} healthy runs at {HEALTHY_RATE}/s: every one valid")
    with busy(contest.CLIENT_CPU):
        for number in range(starved_runs):
            # Beside a busy process of the usual priority one of nice 10 has 110 of 1,134 shares.
            code, _ = run(server, STARVED_RATE, STARVED_RATE * RUN_SECONDS, nice=10)
            if code != INVALID:
                contest.fail(f"run {number + 1} with a tenth of a core left with {code}")
    print(f"{runs} healthy runs, 0 invalid; {starved_runs} with a tenth of a core, 0 valid")


@contextlib.contextmanager
def busy(cpu: int):
    """A process that is busy on one processor."""
    process = subprocess.Popen(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def million(server, arguments: list[str]) -> None:
    number = int(arguments[0]) if arguments else 1_000_000
    samples = []
    code, result = run(server, MILLION_RATE, number, sample=lambda pid: samples.append(observe.rss_bytes(pid)))
    totals = result["totals"]
    warm = samples[int(len(samples) * WARM_SHARE)]
    grown, seconds = samples[-1] - warm, len(samples) * (1 - WARM_SHARE)
    print(f"{totals['established']} of {totals['planned']} handshakes at {result['rates']['established_per_s']:,.0f}/s, "
          f"exit {code}; RSS {samples[0]:,} at first, {warm:,} when warm, {samples[-1]:,} at last")
    if totals["established"] != number:
        contest.fail(f"{totals}")
    if grown > seconds * GROWTH_BYTES_PER_S_MAX:
        contest.fail(f"memory grew by {grown:,} bytes in {seconds:.0f} s")
    code, result = run(server, PEAK_RATE, PEAK_RATE * PEAK_SECONDS)
    generator = result["generator"]
    print(f"asked for {PEAK_RATE:,}/s: {result['rates']['established_per_s']:,.0f}/s established, exit {code}, "
          f"{generator['cpu_share'] * 100:.0f} % of a core, lag p99 {generator['lag_p99_us']:.0f} us")


def run(server, rate: int, number: int, nice: int = 0, sample=None) -> tuple[int, dict]:
    """One run: its exit code and its result. `sample` is told the process each second."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        pinned = ["nice", "-n", str(nice), "taskset", "-c", str(contest.CLIENT_CPU)]
        command = [*pinned, *GATECRASH.command(server, out, number, 0, rate)]
        process = subprocess.Popen(command, env=contest.ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None:
            time.sleep(1 if sample else 0.02)
            with contextlib.suppress(OSError, LookupError):
                if sample and process.poll() is None:
                    sample(process.pid)
        words = process.stderr.read().decode()
        if process.returncode not in (0, INVALID):
            contest.fail(f"gatecrash: exit {process.returncode}\n{words}")
        return process.returncode, json.loads((out / "result/result.json").read_text())


PARTS = {"lag": lag, "validity": validity, "million": million}

if __name__ == "__main__":
    main()
