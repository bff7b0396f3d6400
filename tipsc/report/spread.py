"""Distributions of latency: each path's calls relative to that path's median.

Relative, because paths differ by factors and calls by per cent: on a common axis in milliseconds
every distribution would be a spike.
"""

from __future__ import annotations

from collections.abc import Sequence

from tipsc.report.data import BuildReport, Shipped
from tipsc.report.format import is_number, milliseconds, shortened
from tipsc.report.html import Html, shape, tag
from tipsc.report.notes import called
from tipsc.report.svg import NARROW, Scale, drawing, line, number, text, x_axis

_ROW = 34.0
_MOST = 4.0  # times the median: what the axis shows at most
_KERNEL = (1, 4, 6, 4, 1)


def spread(report: BuildReport, width: int) -> Html | None:
    """The chart, or None where no samples were kept."""
    rows = [(path, relative) for path in report.shipped if (relative := _relative(path))]
    if not rows:
        return None
    compact = width <= NARROW
    left, right = (74.0, width - 8.0) if compact else (110.0, width - 190.0)
    top = 14.0
    bottom = top + _ROW * len(rows)
    low = min(min(_at(r, 0.005) for _, r in rows), 1 - report.noise_floor, 0.98)
    # Slow calls would flatten everything else, above all those of one unsteady path among steady
    # ones; they are counted at the edge.
    every = sorted(value for _, relative in rows for value in relative)
    high = max(min(_at(every, 0.98), _MOST), 1.02)
    high = max(high, min(1 + report.noise_floor, _MOST))
    x = Scale(low, high + (high - low) * 0.03, left, right)
    parts = x_axis(x, top, bottom, "latency of a call / median of its path", 4 if compact else 8)
    noise = (x(1 - report.noise_floor), min(x(1 + report.noise_floor), x.end))
    parts.append(
        shape("rect", x=noise[0], y=top, width=noise[1] - noise[0], height=bottom - top,
              class_="noise")
    )  # fmt: skip
    p50 = milliseconds(path.p50_ms for path, _ in rows)
    p95 = milliseconds(path.p95_ms for path, _ in rows)
    times = list(zip(p50, p95, strict=True))
    for place, (path, relative) in enumerate(rows):
        parts.append(_row(x, path, relative, top + _ROW * (place + 1), times[place], width))
    return drawing(width, bottom + 44, "Distribution of latency for each path", parts)


def _row(
    x: Scale,
    path: Shipped,
    relative: Sequence[float],
    base: float,
    times: tuple[str, str],
    width: int,
) -> Html:
    p50, p95 = times
    compact = width <= NARROW
    whole = called(path.id, {path.id: path.name} if path.name else {})
    beyond = sum(value > x.high for value in relative)
    title = (
        f"{whole}: {len(relative)} calls\np50 {p50} ms, p95 {p95} ms\n"
        f"slowest {relative[-1]:.2f} times the median"
    )
    inner = [
        line(x.start, base, x.end, base, "base"),
        _density(x, relative, base, title),
        line(x(1.0), base - 20, x(1.0), base, "median"),
        _tick95(x, tail, base) if (tail := _at(relative, 0.95)) <= x.high else Html(),
        *_called(path, base, 10 if compact else 15),
    ]
    if not compact:
        inner.append(text(width - 92, base - 5, f"{p50} ms", anchor="end", kind="value"))
        inner.append(text(width, base - 5, f"p95 {p95} ms", anchor="end", kind="tick"))
    if beyond:
        inner.append(text(x.end, base - 5, f"{beyond} ▸", anchor="end", kind="tick"))
    return tag("g", *inner, data_p=path.id)


def _called(path: Shipped, base: float, letters: int) -> list[Html]:
    """Its name above its id, or its id alone."""
    if not path.name:
        return [text(0, base - 5, shortened(path.id, letters), kind="name")]
    return [
        text(0, base - 14, shortened(path.name, letters), kind="name"),
        text(0, base - 1, shortened(path.id, letters), kind="tick"),
    ]


def _density(x: Scale, relative: Sequence[float], base: float, title: str) -> Html:
    """A histogram of 4 px bins, lightly smoothed, as tall as its row."""
    bins = max(int((x.end - x.start) / 4), 8)
    counts = [0.0] * (bins + 4)
    for value in relative:
        place = int((value - x.low) / (x.high - x.low) * bins)
        if 0 <= place < bins:
            counts[place + 2] += 1
    smooth = [sum(weight * counts[k + d] for d, weight in enumerate(_KERNEL)) for k in range(bins)]
    peak = max(max(smooth), 1e-9)
    step = (x.end - x.start) / bins
    used = [k for k, value in enumerate(smooth) if value > 0] or [0]
    first, last = used[0], used[-1]
    tops = "".join(
        f"L{number(x.start + (k + 0.5) * step)} {number(base - 26 * smooth[k] / peak)}"
        for k in range(first, last + 1)
        if not smooth[max(k - 1, 0)] == smooth[k] == smooth[min(k + 1, bins - 1)]
    )
    start, end = number(x.start + first * step), number(x.start + (last + 1) * step)
    d = f"M{start} {number(base)}{tops}L{end} {number(base)}Z"
    return shape("path", title, d=d, class_="density")


def _tick95(x: Scale, value: float, base: float) -> Html:
    at = min(x(value), x.end)
    return line(at, base - 9, at, base, "p95")


def _relative(path: Shipped) -> list[float]:
    samples = sorted(value for value in path.samples_ms if is_number(value) and value > 0)
    if len(samples) < 2:
        return []
    median = _at(samples, 0.5)
    return [value / median for value in samples]


def _at(ordered: Sequence[float], quantile: float) -> float:
    place = quantile * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
