"""Reads a `run.hlog` with Python's hdrhistogram, a reader that this project did not write.

    python read_hlog.py run.hlog      prints {TAG: {"count":N,"p50":ns,"p99":ns,"max":ns}} as JSON
"""

import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

LOWEST_NS, HIGHEST_NS, DIGITS = 1, 3_600_000_000_000, 3

reference = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
reader = HistogramLogReader(sys.argv[1], reference)
merged: dict[str, HdrHistogram] = {}
while (interval := reader.get_next_interval_histogram()) is not None:
    tag = interval.get_tag() or ""
    merged.setdefault(tag, HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)).add(interval)
print(
    json.dumps(
        {
            tag: {
                "count": histogram.get_total_count(),
                "p50": histogram.get_value_at_percentile(50),
                "p99": histogram.get_value_at_percentile(99),
                "max": histogram.get_max_value(),
            }
            for tag, histogram in merged.items()
        }
    )
)
