"""Training curves: one chart for each quantity, raw values faint under a light smoothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tipsc.report.data import Curve
from tipsc.report.format import shortened, significant
from tipsc.report.html import Html
from tipsc.report.svg import (
    LETTER,
    NARROW,
    Scale,
    drawing,
    linear,
    polyline,
    text,
    x_axis,
    y_axis,
)

COLOURS = 6


def curves(group: Sequence[Curve], width: int) -> Html | None:
    """The chart of curves of one quantity, or None where there is not one finite value."""
    lines = [(curve, thinned) for curve in group if (thinned := _thin(curve, width // 6))]
    if not lines:
        return None
    compact = width <= NARROW
    names = [shortened(curve.name, 12 if compact else 24) for curve, _ in lines]
    room = LETTER * (max(map(len, names)) + (0 if compact else 7)) + 16
    height = 260.0 if compact else 330.0
    left, right, top, bottom = 40.0, width - room, 26.0, height - 44.0
    steps = [step for _, values in lines for step, _ in values]
    x = Scale(min(steps), max(max(steps), min(steps) + 1), left, right)
    y = linear(_bulk([value for _, values in lines for _, value in values]), bottom, top)
    parts = x_axis(x, top, bottom, "step", 4 if compact else 8)
    parts += y_axis(y, left, right, lines[0][0].quantity, 4 if compact else 6)
    ends = []
    for number, (_, values) in enumerate(lines):
        kind = f"c{number % COLOURS}"
        smooth = _smoothed([value for _, value in values])
        parts.append(polyline(_inside(x, y, values), f"raw {kind}"))
        smooth_points = [(step, value) for (step, _), value in zip(values, smooth, strict=True)]
        parts.append(polyline(_inside(x, y, smooth_points), f"curve {kind}"))
        value = "" if compact else f" {significant(smooth[-1])}"
        ends.append((y(smooth[-1]), names[number] + value, kind))
    for at, (_, label, kind) in zip(
        _apart([e[0] for e in sorted(ends)], 15, top, bottom), sorted(ends), strict=True
    ):
        parts.append(text(right + 9, at + 4, label, kind=f"name {kind}"))
    return drawing(width, height, f"{lines[0][0].quantity} over the steps of training", parts)


def _thin(curve: Curve, limit: int) -> list[tuple[float, float]]:
    """At most `limit` points: the means of equal runs of finite values."""
    pairs = [
        (float(s), v) for s, v in zip(curve.steps, curve.values, strict=False) if math.isfinite(v)
    ]
    run = max(1, math.ceil(len(pairs) / limit))
    runs = [pairs[k : k + run] for k in range(0, len(pairs), run)]
    return [
        (sum(s for s, _ in part) / len(part), sum(v for _, v in part) / len(part)) for part in runs
    ]


def _smoothed(values: Sequence[float]) -> list[float]:
    """A centred moving average, which does not lag behind as an exponential one does."""
    reach = 4 if len(values) > 60 else 1 if len(values) > 12 else 0
    out = []
    for k in range(len(values)):
        # The window shrinks at both ends alike, or the ends would be pulled inwards.
        near = min(reach, k, len(values) - 1 - k)
        window = values[k - near : k + near + 1]
        out.append(sum(window) / len(window))
    return out


def _bulk(values: list[float]) -> list[float]:
    """Without the few highest and lowest, so that one spike does not flatten the chart."""
    ordered = sorted(values)
    cut = len(ordered) // 200
    return ordered[cut : len(ordered) - cut]


def _inside(x: Scale, y: Scale, values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x(step), min(max(y(value), y.end), y.start)) for step, value in values]


def _apart(wanted: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Ascending places at least `gap` apart, near the wanted ones and inside where they fit."""
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + gap) if places else max(place, top))
    shift = max(0.0, places[-1] - bottom) if places else 0.0
    return [place - shift for place in places]
