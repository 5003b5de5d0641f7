"""Many handshakes in one run: the generator's resident memory, read each second, does not grow. Then 10,000/s for ten
seconds.
"""

import argparse

from harness import observe, paced_run
from harness.programs import at_least_one, fail, raise_descriptor_limit

RATE_PER_S = 8000
PEAK_RATE_PER_S, PEAK_SECONDS = 10_000, 10
# The first part of the readings is the warm-up: tables and histograms are made when first needed.
WARM_SHARE = 0.25
# What a run keeps for each of its seconds: a row for the result, with the sparse histograms of that second. Sockets,
# tokens and figures of handshakes leave nothing behind.
GROWTH_BYTES_PER_S_MAX = 16 * 1024
# What is made once but late, whatever the length of the run: octaves of histograms that a rare latency needs first.
GROWTH_BYTES_ONCE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/prove million", description=__doc__)
    parser.add_argument("handshakes", type=at_least_one, nargs="?", default=1_000_000)
    handshakes = parser.parse_args().handshakes
    raise_descriptor_limit()
    with paced_run.floor() as server:
        exit_code = memory_stays(server, handshakes)
        peak(server, min(PEAK_SECONDS, max(1, handshakes // PEAK_RATE_PER_S)))
    # An invalid run is run again by the caller. The second run is printed and not judged: at that rate a slower machine
    # takes more of the core than the four fifths above which a run is invalid.
    raise SystemExit(exit_code)


def memory_stays(server, handshakes: int) -> int:
    """The run's exit code."""
    readings = []
    run = paced_run.run(server, RATE_PER_S, handshakes, watch=lambda pid: readings.append(observe.rss_bytes(pid)))
    totals = run.result["totals"]
    if len(readings) < 3:
        fail("it was over before its memory could be read")
    warm = readings[int(len(readings) * WARM_SHARE)]
    grown, seconds = readings[-1] - warm, len(readings) * (1 - WARM_SHARE)
    print(f"{totals['established']:,} of {totals['planned']:,} handshakes at "
          f"{run.result['rates']['established_per_s']:,.0f}/s, exit {run.exit_code}, "
          f"lag p99 {run.result['generator']['lag_p99_us']:.0f} us")
    print(f"resident memory: {readings[0]:,} bytes at first, {warm:,} when warm, {readings[-1]:,} at the end, "
          f"{max(readings):,} at its peak; {grown / seconds:,.0f} bytes a second")
    if totals["established"] != handshakes:
        fail(f"not all were established: {totals}")
    if grown > max(GROWTH_BYTES_ONCE, seconds * GROWTH_BYTES_PER_S_MAX):
        fail(f"memory grew by {grown:,} bytes in {seconds:.0f} s")
    return run.exit_code


def peak(server, seconds: int) -> None:
    run = paced_run.run(server, PEAK_RATE_PER_S, PEAK_RATE_PER_S * seconds)
    generator = run.result["generator"]
    print(f"planned {PEAK_RATE_PER_S:,}/s: {run.result['rates']['established_per_s']:,.0f}/s established over {seconds} s, "
          f"exit {run.exit_code}, {generator['cpu_share']:.0%} of a core, {generator['spin_share']:.0%} in the spin, "
          f"lag p99 {generator['lag_p99_us']:.0f} us")
    if run.result["totals"]["established"] != PEAK_RATE_PER_S * seconds:
        fail(f"not all were established: {run.result['totals']}")


if __name__ == "__main__":
    main()
