"""Draws two runs against a server that stalls, the open model beside the closed one, and the true response times."""

import math

from hdrh.histogram import HdrHistogram

WIDTH, HEIGHT = 960, 430
# Two panels side by side, each with room for the marks of its axes.
TOP, BOTTOM = 84, 372
PANELS = {"time": (64, 452), "percentile": (540, 928)}
LEAST_US, MOST_US = 10, 3_000_000
SCALE_US = {10: "10 µs", 100: "100 µs", 1000: "1 ms", 10_000: "10 ms", 100_000: "100 ms", 1_000_000: "1 s"}
# As far as so many arrivals reach.
QUANTILES = [1 - 10 ** (-place / 40) for place in range(0, 121)]
SCALE_QUANTILES = {0: "0", 0.9: "90 %", 0.99: "99 %", 0.999: "99.9 %"}

STYLE = """
    :root { --paper: #ffffff; --ink: #16202c; --muted: #56626f; --grid: #e2e7ec; --stall: #faf0da;
            --open: #0b66c2; --closed: #c0312b; --true: #16202c; }
    @media (prefers-color-scheme: dark) {
      :root { --paper: #10161d; --ink: #e8edf2; --muted: #9aa7b4; --grid: #283340; --stall: #352808;
              --open: #6fb4f7; --closed: #ff8a80; --true: #e8edf2; } }
    text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: var(--muted); }
    .head { font-size: 15px; font-weight: 600; fill: var(--ink); }
    .paper { fill: var(--paper); } .grid { stroke: var(--grid); } .stall { fill: var(--stall); }
    .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
    .open { stroke: var(--open); } .closed { stroke: var(--closed); }
    .true { stroke: var(--true); stroke-dasharray: 2 5; stroke-width: 2.5; stroke-linecap: round; }
"""


def draw(waits_us, rate_per_s, open_run, closed_run, period_ms):
    """The picture, as SVG: the 99th percentile second by second, and all percentiles."""
    seconds = len(waits_us) // rate_per_s
    parts = [frame(name) for name in PANELS]
    parts.insert(0, stalls(period_ms, seconds))
    for kind, result in (("closed", closed_run), ("open", open_run)):
        parts.append(line(kind, over_time(result, seconds)))
        parts.append(line(kind, by_percentile(read(result, kind))))
    parts.append(line("true", by_percentile(lambda quantile: rank(waits_us, quantile))))
    for second in range(0, seconds + 1, 5):
        parts.append(text(x_of_second(second, seconds), BOTTOM + 20, f"{second} s", "middle"))
    for quantile, name in SCALE_QUANTILES.items():
        parts.append(text(x_of_quantile(quantile), BOTTOM + 20, name, "middle"))
    parts += legend(period_ms)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{LABEL}">\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>\n{body}\n</svg>\n'
    )


LABEL = (
    "A server that stalls for one second in every ten, measured twice. In the open model the percentiles rise to the "
    "stall and agree with those computed from the schedule; in the closed model they stay below a millisecond."
)


def legend(period_ms):
    rows = [
        (64, "true", "computed from the schedule and the stalls"),
        (406, "open", "open model, from the planned instant"),
        (704, "closed", "closed model, from the start"),
    ]
    parts = []
    for x, kind, name in rows:
        parts.append(f'<path class="line {kind}" d="M{x} 25h24"/>')
        parts.append(text(x + 31, 30, name))
    left, right = (PANELS[name][0] for name in PANELS)
    stall = f"{period_ms / 10_000:g} s in {period_ms / 1000:g} s"
    return [
        *parts,
        text(left, TOP - 18, f"p99 by the second; stalls of {stall}", kind="head"),
        text(right, TOP - 18, "Percentiles of the whole run", kind="head"),
    ]


def frame(panel):
    left, right = PANELS[panel]
    parts = []
    for us, name in SCALE_US.items():
        parts.append(f'<path class="grid" d="M{left} {y_of(us):.1f}H{right}"/>')
        parts.append(text(left - 8, y_of(us) + 4, name, "end"))
    return "\n".join(parts)


def stalls(period_ms, seconds):
    parts = []
    for begin_ms in range(0, seconds * 1000, period_ms):
        left, right = (x_of_second((begin_ms + period_ms * part) / 1000, seconds) for part in (0.45, 0.55))
        parts.append(f'<rect class="stall" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{BOTTOM - TOP}"/>')
    return "\n".join(parts)


def over_time(result, seconds):
    """Steps: each second's 99th percentile, where something was established in it."""
    points = []
    for row in result["intervals"][:seconds]:
        p99_us = row.get("handshake_p99_us")
        if p99_us:
            points += [(x_of_second(row["second"] + end, seconds), y_of(p99_us)) for end in (0, 1)]
    return points


def read(result, kind):
    """The quantiles of a run: the response in the open model, the service in the closed one, which has no other."""
    figures = result["phases"]["handshake"][{"open": "response", "closed": "service"}[kind]]
    histogram = HdrHistogram.decode(figures["hdr"])
    return lambda quantile: histogram.get_value_at_percentile(quantile * 100) / 1000


def rank(rising, quantile):
    return rising[max(1, math.ceil(quantile * len(rising))) - 1]


def by_percentile(value_us):
    values_us = [(quantile, value_us(quantile)) for quantile in QUANTILES]
    return [(x_of_quantile(quantile), y_of(us)) for quantile, us in values_us if us >= LEAST_US]


def x_of_second(second, seconds):
    left, right = PANELS["time"]
    return left + (right - left) * second / seconds


def x_of_quantile(quantile):
    """Each nine takes as much room as the one before it."""
    left, right = PANELS["percentile"]
    return left + (right - left) * -math.log10(1 - quantile) / -math.log10(1 - QUANTILES[-1])


def y_of(us):
    share = math.log(min(max(us, LEAST_US), MOST_US) / LEAST_US) / math.log(MOST_US / LEAST_US)
    return BOTTOM - (BOTTOM - TOP) * share


def line(kind, points):
    return f'<path class="line {kind}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def text(x, y, content, anchor="start", kind=""):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{content}</text>'
