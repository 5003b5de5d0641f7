"""Ratios of a new program to an old one, one ratio a round: their median, its confidence interval, and the verdict.

The interval is that of the sign test: exact for any distribution of the ratios, as long as rounds are independent. Of `n`
sorted ratios it runs from the k-th to the (n + 1 - k)-th, where `k` is the largest number with

    2 * P(X < k) <= 1 - 0.95,    X ~ Binomial(n, 1/2)

(David and Nagaraja, Order Statistics, section 7.1). Fewer than six ratios have no such `k`: the interval is unbounded.
Rounds are added in steps until the verdict is clear; each look at the figures makes the level of the last interval a
little less than 95 %, so the steps are few.
"""

import dataclasses
import math
import statistics

MEDIAN_MAX = 1.02
INTERVAL_END_MAX = 1.05
ERROR_MAX = 0.05


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the rounds say of one metric, of which less is better. The verdict is `ok`, `slower` or `undecided`."""

    median: float
    low: float
    high: float
    verdict: str


def judge(ratios: list[float]) -> Judgement:
    """`ok` needs both limits; `slower` needs an interval that lies above the limit of the median."""
    median, (low, high) = statistics.median(ratios), median_interval(ratios)
    if low > MEDIAN_MAX:
        verdict = "slower"
    elif median <= MEDIAN_MAX and high < INTERVAL_END_MAX:
        verdict = "ok"
    else:
        verdict = "undecided"
    return Judgement(median, low, high, verdict)


def median_interval(values: list[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the median."""
    number, rank, below = len(values), 0, 0.0
    while (below := below + math.comb(number, rank) / 2**number) * 2 <= ERROR_MAX:
        rank += 1
    if rank == 0:
        return 0.0, math.inf
    rising = sorted(values)
    return rising[rank - 1], rising[number - rank]
