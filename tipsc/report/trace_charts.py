"""The charts of a trace: what calls took, which paths ran, how much slower the device was."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tipsc.report.format import plural, shortened
from tipsc.report.html import Html, shape, tag
from tipsc.report.svg import (
    NARROW,
    Scale,
    drawing,
    linear,
    logarithmic,
    polyline,
    x_axis,
    y_axis,
)
from tipsc.report.trace import TracedCall, quantile

#: parts of the time that a chart tells apart, and late calls that it shows
PARTS, NARROW_PARTS, DOTS = 160, 60, 300
COLOURS = 6

Buckets = Sequence[Sequence[TracedCall]]


def times(calls: Sequence[TracedCall], width: int) -> Html:
    """What calls took: percentiles, the budget, and late calls as dots."""
    seconds, buckets = _buckets(calls, width)
    centres = _centres(seconds, buckets)
    height, left, top = 300.0, 48.0, 26.0
    low, middle, high = (
        [quantile([c.elapsed_ms for c in part], share) for part in buckets]
        for share in (0.1, 0.5, 0.9)
    )
    budgets = [quantile([c.budget_ms for c in part], 0.5) for part in buckets]
    late = [c for c in calls if not c.in_time]
    late = late[:: max(1, math.ceil(len(late) / DOTS))]
    shown = [*low, *high, *(b for b in budgets if math.isfinite(b)), *(c.elapsed_ms for c in late)]
    x = Scale(0.0, seconds, left, width - 8.0)
    y = logarithmic([max(ms, 1e-6) for ms in shown], height - 44.0, top)
    parts = _axes(x, y, top, "ms", width)

    def place(ms: float) -> float:
        return y(max(ms, 1e-6))

    up = [(x(at), place(ms)) for at, ms in zip(centres, high, strict=True)]
    down = [(x(at), place(ms)) for at, ms in zip(centres, low, strict=True)]
    parts.append(polyline([*up, *reversed(down)], "density", closed=True))
    medians = zip(centres, middle, strict=True)
    parts.append(polyline([(x(at), place(ms)) for at, ms in medians], "curve c0"))
    for run in _finite_runs(centres, budgets):
        parts.append(polyline([(x(at), place(ms)) for at, ms in run], "budget"))
    began = calls[0].unix_s
    for call in late:
        says = f"{call.path}: {call.elapsed_ms:.3g} of {call.budget_ms:.3g} ms, {call.reason}"
        parts.append(
            shape("circle", says, cx=x(call.unix_s - began), cy=place(call.elapsed_ms), r=2.5,
                  class_="chosen")
        )  # fmt: skip
    return drawing(width, height, "What calls took over time", parts)


def paths(calls: Sequence[TracedCall], names: Sequence[str], width: int) -> Html:
    """The share of each path over time; :func:`key` says which colour is whose."""
    seconds, buckets = _buckets(calls, width)
    height, left, top = 190.0, 48.0, 26.0
    x, y = Scale(0.0, seconds, left, width - 8.0), Scale(0.0, 100.0, height - 44.0, top)
    parts = _axes(x, y, top, "% of calls", width)
    step = seconds / _parts(width)
    for part in buckets:
        first = math.floor((part[0].unix_s - calls[0].unix_s) / step) * step
        begin, end, base = x(min(first, seconds - step)), x(min(first + step, seconds)), 0.0
        for number, name in enumerate(names):
            count = sum(call.path == name for call in part)
            share = 100 * count / len(part)
            if count:
                parts.append(
                    shape("rect", f"{name}: {share:.0f} %", x=begin, y=y(base + share),
                          width=max(end - begin - 0.4, 0.5), height=y(base) - y(base + share),
                          class_=_colour(number))
                )  # fmt: skip
            base += share
    return drawing(width, height, "Which path ran over time", parts)


def slowdown(calls: Sequence[TracedCall], width: int) -> Html:
    """How much slower than profiled the device was taken to be."""
    seconds, buckets = _buckets(calls, width)
    centres = _centres(seconds, buckets)
    height, left, top = 170.0, 48.0, 26.0
    values = [quantile([c.slowdown for c in part], 0.5) for part in buckets]
    x = Scale(0.0, seconds, left, width - 8.0)
    y = linear([*values, 1.0], height - 44.0, top)
    parts = _axes(x, y, top, "times", width)
    points = [(x(at), y(value)) for at, value in zip(centres, values, strict=True)]
    parts.append(polyline(points, "curve c1"))
    return drawing(width, height, "Slowdown over time", parts)


def _axes(x: Scale, y: Scale, top: float, unit: str, width: int) -> list[Html]:
    compact = width <= NARROW
    bottom = y.start
    return [
        *x_axis(x, top, bottom, "seconds", 4 if compact else 8),
        *y_axis(y, x.start, x.end, unit, 3 if compact else 5),
    ]


def key(names: Sequence[str]) -> Html:
    """The colours of :func:`paths`; the last one is of all others."""
    shown = [
        tag("span", tag("i", class_=f"swatch {_colour(number)}"), shortened(name, 24))
        for number, name in enumerate(names[: COLOURS - 1])
    ]
    if len(names) == COLOURS:
        shown.append(
            tag("span", tag("i", class_=f"swatch {_colour(COLOURS - 1)}"), shortened(names[-1], 24))
        )
    elif len(names) > COLOURS:
        others = plural(len(names) - COLOURS + 1, "other path")
        shown.append(tag("span", tag("i", class_=f"swatch {_colour(COLOURS - 1)}"), others))
    return tag("div", *shown, class_="key")


def _colour(number: int) -> str:
    return f"d{min(number, COLOURS - 1)}"


def _parts(width: int) -> int:
    return NARROW_PARTS if width <= NARROW else PARTS


def _buckets(calls: Sequence[TracedCall], width: int) -> tuple[float, list[list[TracedCall]]]:
    """The time from the first call to the last, and the calls in each part that has some."""
    began, seconds = calls[0].unix_s, max(calls[-1].unix_s - calls[0].unix_s, 1e-3)
    count = _parts(width)
    found: dict[int, list[TracedCall]] = {}
    for call in calls:
        place = min(int((call.unix_s - began) / seconds * count), count - 1)
        found.setdefault(place, []).append(call)
    return seconds, [found[place] for place in sorted(found)]


def _centres(seconds: float, buckets: Buckets) -> list[float]:
    began = buckets[0][0].unix_s
    return [min(quantile([call.unix_s for call in part], 0.5) - began, seconds) for part in buckets]


def _finite_runs(
    places: Sequence[float], values: Sequence[float]
) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in zip(places, values, strict=True):
        if math.isfinite(value):
            runs[-1].append((place, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
