"""Scales, axes and text for charts in SVG.

A chart is drawn twice, for a wide page and for a phone: one drawing that is scaled would have text
that nobody can read on the phone. Coordinates are CSS pixels at the drawing's natural width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tipsc.report.html import Html, number, shape, tag

WIDE = 1040
NARROW = 370
LETTER = 6.3
"""Width of an average character of the charts' 11 px text, in px."""


@dataclass(frozen=True)
class Scale:
    """Values `low`..`high` to pixels `start`..`end`, evenly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, about: int) -> list[float]:
        """Round values inside, around `about` of them."""
        if self.logarithmic:
            for mantissas in ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)):
                found = self._decades(mantissas)
                if len(found) >= about * 0.6:
                    return found
        return self._steps(about)

    def _decades(self, mantissas: Sequence[float]) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [float(f"{m}e{p}") for p in powers for m in mantissas]
        return [value for value in values if self.low <= value <= self.high]

    def _steps(self, about: int) -> list[float]:
        raw = (self.high - self.low) / max(about, 1)
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def linear(values: Sequence[float], start: float, end: float, pad: float = 0.06) -> Scale:
    """A scale that shows all `values`, with a margin of `pad` of the range."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * pad or max(abs(high) * 0.01, 1e-3)
    return Scale(low - margin, high + margin, start, end)


def logarithmic(values: Sequence[float], start: float, end: float, pad: float = 0.06) -> Scale:
    """Likewise for positive values, by logarithm."""
    low, high = min(values, default=1.0), max(values, default=10.0)
    # At least a third from end to end, or equal values would look far apart.
    factor = max((high / low) ** pad, math.sqrt(1.33 * low / high))
    return Scale(low / factor, high * factor, start, end, logarithmic=True)


def tick_texts(values: Sequence[float]) -> list[str]:
    """Evenly spaced ticks with the decimals that tell them apart; others as short as they go."""
    steps = [b - a for a, b in itertools.pairwise(values)]
    if steps and max(steps) < min(steps) * 1.001:
        decimals = next(
            (d for d in range(8) if abs(round(steps[0], d) - steps[0]) < steps[0] * 1e-6), 8
        )
        return [f"{value:.{decimals}f}" for value in values]
    return [f"{value:.6g}" for value in values]


def text(x: float, y: float, content: str, *, anchor: str = "start", kind: str = "") -> Html:
    """A line of text, its baseline at (x, y)."""
    return tag(
        "text",
        content,
        x=float(x),
        y=float(y),
        text_anchor=None if anchor == "start" else anchor,
        class_=kind or None,
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    return shape("path", d=f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", class_=kind)


def polyline(points: Sequence[tuple[float, float]], kind: str, closed: bool = False) -> Html:
    d = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points) + ("Z" if closed else "")
    return shape("path", d=d, class_=kind)


def x_axis(scale: Scale, top: float, bottom: float, title: str, about: int) -> list[Html]:
    """Grid lines, ticks below, and the axis title at the right end."""
    ticks = scale.ticks(about)
    parts = [line(scale(t), top, scale(t), bottom, "grid") for t in ticks]
    parts += [
        text(scale(t), bottom + 16, label, anchor="middle", kind="tick")
        for t, label in zip(ticks, tick_texts(ticks), strict=True)
    ]
    parts.append(text(scale.end, bottom + 34, title, anchor="end", kind="axis"))
    return parts


def y_axis(scale: Scale, left: float, right: float, title: str, about: int) -> list[Html]:
    """Grid lines, ticks at the left, and the axis title above them."""
    ticks = scale.ticks(about)
    parts = [line(left, scale(t), right, scale(t), "grid") for t in ticks]
    parts += [
        text(left - 8, scale(t) + 4, label, anchor="end", kind="tick")
        for t, label in zip(ticks, tick_texts(ticks), strict=True)
    ]
    parts.append(text(0, 11, title, kind="axis"))
    return parts


def drawing(width: float, height: float, label: str, parts: Sequence[Html]) -> Html:
    """An SVG image that a screen reader calls `label`."""
    box = f"0 0 {number(width)} {number(height)}"
    return tag("svg", *parts, viewBox=box, role="img", aria_label=label)


def both(draw: Callable[[int], Html]) -> Html:
    """What `draw` makes for each of the two widths; the style sheet shows one of them."""
    return Html(tag("div", draw(WIDE), class_="wide") + tag("div", draw(NARROW), class_="narrow"))


@dataclass(frozen=True)
class Box:
    """A rectangle that a label may not touch."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def label_box(x: float, y: float, content: str, anchor: str) -> Box:
    """The room that :func:`text` takes."""
    width = LETTER * len(content)
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return Box(left, y - 10, left + width, y + 3)
