"""Quality against latency: what ships beside the original, and what the search saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tipsc.engine.original import OriginalModel
from tipsc.quality import Quality
from tipsc.report.data import BuildReport, Point
from tipsc.report.format import count, heading, is_number, milliseconds, shortened
from tipsc.report.html import Html, number, shape, tag
from tipsc.report.metric import metric_of
from tipsc.report.svg import (
    NARROW,
    Box,
    Scale,
    drawing,
    label_box,
    line,
    linear,
    logarithmic,
    polyline,
    text,
    x_axis,
    y_axis,
)

_TAIL = 2.0
"""Of the slowest p50: a p95 above it would press all the rest together."""
_PLACES = (
    (-7.0, -8.0, "end"),
    (8.0, 14.0, "start"),
    (0.0, -11.0, "middle"),
    (0.0, 20.0, "middle"),
    (11.0, 4.0, "start"),
    (-11.0, 4.0, "end"),
    (-7.0, -20.0, "end"),
    (8.0, 26.0, "start"),
)


@dataclass(frozen=True)
class FrontChart:
    """What one chart shows: all of its qualities are those of one set of examples.

    Attributes:
        examples: which set that is: ``test`` or ``validation``.
        points: with a latency that a logarithmic axis can show.
        noise_floor: of the latencies.
        names: by path id, for the labels of chosen paths.
        budgets_ms: that are marked.
        original: the plain model, on the same examples; None: it is not shown.
    """

    examples: str
    points: tuple[Point, ...]
    noise_floor: float
    names: Mapping[str, str]
    budgets_ms: tuple[float, ...] = ()
    original: OriginalModel | None = None

    @property
    def measure(self) -> Quality | None:
        """A value of the quality that is shown."""
        return next((p.quality for p in self.points if p.quality is not None), None)

    @property
    def original_at(self) -> tuple[float, Quality] | None:
        """Latency and quality of the original, where it has both."""
        if self.original is None or self.original.latency is None:
            return None
        return self.original.latency.p50_ms, self.original.quality


def shipped_chart(report: BuildReport) -> FrontChart:
    """The paths of the engine and the original, by the figures of the table: test examples."""
    points = [
        Point(
            id=path.id,
            options={},
            quality=path.quality,
            p10_ms=path.p50_ms,
            p50_ms=path.p50_ms,
            p95_ms=path.p95_ms,
            macs=path.macs,
            parameters=path.parameters,
            chosen=True,
        )
        for path in report.shipped
    ]
    return FrontChart(
        "test", _plottable(points), report.noise_floor, _names(report), (), report.original
    )


def search_chart(report: BuildReport) -> FrontChart:
    """What the search saw: candidates by their validation quality."""
    budgets = tuple(b for p in report.shipped if is_number(b := p.budget_ms) and b > 0)
    points = _plottable(report.points)
    return FrontChart("validation", points, report.noise_floor, _names(report), budgets)


def _names(report: BuildReport) -> dict[str, str]:
    return {path.id: path.label for path in report.shipped}


def _plottable(points: Sequence[Point]) -> tuple[Point, ...]:
    return tuple(point for point in points if is_number(point.p50_ms) and point.p50_ms > 0)


def front(chart: FrontChart, width: int) -> Html:
    """The drawing. Candidates that nobody evaluated are ticks on the latency axis."""
    points, at = chart.points, chart.original_at
    compact = width <= NARROW
    scored = [point for point in points if point.quality is not None]
    height = (330.0 if compact else 440.0) if scored else 150.0
    left, right, top, bottom = 40.0, width - 6.0, 44.0, height - 44.0
    times = [p.p50_ms for p in points] + list(chart.budgets_ms) + ([at[0]] if at else [])
    times += [p.p95_ms for p in scored if p.chosen and p.p95_ms <= _TAIL * max(times)]
    x = logarithmic(times, left, right)
    metric = metric_of(chart.measure)
    values = [_value(p) for p in scored] + ([metric.number(at[1])] if at else [])
    y = linear(values, bottom, top)

    parts = x_axis(x, top, bottom, "latency p50, ms (log)", 5 if compact else 9)
    if scored:
        title = ", ".join(filter(None, [f"{chart.examples} {metric.name}", metric.sign]))
        parts += y_axis(y, left, right, title, 5 if compact else 7)
    parts += _budgets(x, chart.budgets_ms, top, bottom)
    chosen = sorted((p for p in scored if p.chosen), key=lambda p: p.p50_ms)
    parts += _staircase(x, y, chosen, right)
    parts += [_rug(x, point, bottom) for point in points if point not in scored]
    parts += [_candidate(x, y, point, chart.examples) for point in scored if not point.chosen]
    parts += [_noise(x, y, point, chart.noise_floor) for point in chosen]
    parts += [_whisker(x, y, point) for point in chosen]
    parts += [_chosen(x, y, point, chart.examples) for point in chosen]
    taken = []
    if at is not None:
        place = x(at[0]), y(metric.number(at[1]))
        parts.append(_original(place, at[1]))
        taken.append(Box(place[0] - 8, place[1] - 8, place[0] + 8, place[1] + 8))
        scored_marks = [_mark(x, y, point) for point in scored]
        label = _placed(place, "original", Box(left, top - 8, right, bottom), taken + scored_marks)
        if label is not None:
            parts.append(text(*label[:2], "original", anchor=label[2], kind="name"))
            taken.append(label_box(*label[:2], "original", label[2]))
    frame = Box(left, top - 8, right, bottom)
    parts += _labels(x, y, scored, frame, compact, chart.names, taken)
    return drawing(
        width, height, f"{heading(metric.name)} against latency, {chart.examples} examples", parts
    )


def _original(place: tuple[float, float], quality: Quality) -> Html:
    """A diamond."""
    cx, cy = place
    corners = [(cx, cy - 8), (cx + 8, cy), (cx, cy + 8), (cx - 8, cy)]
    points = " ".join(f"{number(a)},{number(b)}" for a, b in corners)
    return shape("polygon", f"original\n{quality}", points=points, class_="original")


def _candidate(x: Scale, y: Scale, point: Point, examples: str) -> Html:
    return shape(
        "circle",
        _about(point, examples),
        cx=x(point.p50_ms),
        cy=y(_value(point)),
        r=4,
        class_="candidate" if point.measured else "candidate predicted",
    )


def _chosen(x: Scale, y: Scale, point: Point, examples: str) -> Html:
    mark = shape(
        "circle",
        _about(point, examples),
        cx=x(point.p50_ms),
        cy=y(_value(point)),
        r=6,
        class_="chosen",
    )
    return tag("g", mark, data_p=point.id)


def _rug(x: Scale, point: Point, bottom: float) -> Html:
    at = x(point.p50_ms)
    kind = "rug chosen-rug" if point.chosen else "rug"
    return shape(
        "rect",
        _about(point, "validation"),
        x=at - 1,
        y=bottom - 10,
        width=2,
        height=10,
        class_=kind,
    )


def _noise(x: Scale, y: Scale, point: Point, floor: float) -> Html:
    low = max(x(point.p50_ms * max(1 - floor, 0.01)), x.start)
    high = min(x(point.p50_ms * (1 + floor)), x.end)
    top = y(_value(point)) - 12
    return shape("rect", x=low, y=top, width=max(high - low, 0.5), height=24, class_="noise")


def _whisker(x: Scale, y: Scale, point: Point) -> Html:
    if not (0 < point.p10_ms <= point.p95_ms < float("inf")):
        return Html()
    at = y(_value(point))
    # A very long tail ends at the frame; its length is in the tooltip.
    return line(max(x(point.p10_ms), x.start), at, min(x(point.p95_ms), x.end), at, "whisker")


def _staircase(x: Scale, y: Scale, chosen: Sequence[Point], right: float) -> list[Html]:
    """The best quality that the engine has for each budget."""
    corners: list[tuple[float, float]] = []
    best = float("-inf")
    for point in chosen:
        merit = point.quality.merit if point.quality is not None else best
        if merit > best:
            if corners:
                corners.append((x(point.p50_ms), corners[-1][1]))
            corners.append((x(point.p50_ms), y(_value(point))))
            best = merit
    return [polyline([*corners, (right, corners[-1][1])], "front")] if corners else []


def _budgets(x: Scale, budgets: Sequence[float], top: float, bottom: float) -> list[Html]:
    ordered = sorted(set(budgets))
    parts = [line(x(budget), top - 4, x(budget), bottom, "budget") for budget in ordered]
    end = x.start - 1
    if ordered:
        parts.append(text(x.end, 11, "┆ expected by the search, ms", anchor="end", kind="axis"))
    for budget, label in zip(ordered, milliseconds(ordered), strict=True):
        box = label_box(x(budget), top - 8, label, "middle")
        if box.left > end and box.right < x.end + 6:
            parts.append(text(x(budget), top - 8, label, anchor="middle", kind="tick"))
            end = box.right + 4
    return parts


def _labels(
    x: Scale,
    y: Scale,
    scored: Sequence[Point],
    frame: Box,
    compact: bool,
    names: Mapping[str, str],
    taken: Sequence[Box],
) -> list[Html]:
    """A name for each chosen path that has room for one, the ends of the front first."""
    taken = [*taken, *(_mark(x, y, point) for point in scored if point.chosen)]
    others = [_mark(x, y, point) for point in scored if not point.chosen]
    chosen = sorted((point for point in scored if point.chosen), key=lambda p: p.p50_ms)
    crowded = compact and len(chosen) > 12
    parts = []
    for point in [*chosen[:1], *chosen[:0:-1]]:
        name = shortened(names.get(point.id, point.id), 9 if compact else 14)
        centre = x(point.p50_ms), y(_value(point))
        # Best where no candidate is covered; a covered candidate is better than no name.
        for obstacles in (taken + others,) if crowded else (taken + others, taken):
            if free := _placed(centre, name, frame, obstacles):
                parts.append(tag("g", text(*free[:2], name, anchor=free[2], kind="name"),
                                 data_p=point.id))  # fmt: skip
                taken.append(label_box(*free[:2], name, free[2]))
                break
    return parts


def _placed(
    centre: tuple[float, float], name: str, frame: Box, obstacles: Sequence[Box]
) -> tuple[float, float, str] | None:
    """Where a name stands beside its mark and covers nothing; None if there is no such place."""
    places = [(centre[0] + dx, centre[1] + dy, anchor) for dx, dy, anchor in _PLACES]
    return next((p for p in places if _is_free(p, name, frame, obstacles)), None)


def _mark(x: Scale, y: Scale, point: Point) -> Box:
    cx, cy, r = x(point.p50_ms), y(_value(point)), 7 if point.chosen else 4
    return Box(cx - r, cy - r, cx + r, cy + r)


def _is_free(
    place: tuple[float, float, str], name: str, frame: Box, obstacles: Sequence[Box]
) -> bool:
    box = label_box(place[0], place[1], name, place[2])
    return frame.holds(box) and not any(box.meets(other) for other in obstacles)


def _value(point: Point) -> float:
    """Of an evaluated candidate, as the axis has it."""
    return 0.0 if point.quality is None else metric_of(point.quality).number(point.quality)


def _about(point: Point, examples: str) -> str:
    metric = metric_of(point.quality)
    p10, p50, p95 = milliseconds([point.p10_ms, point.p50_ms, point.p95_ms])
    how = "" if point.measured else " (predicted)"
    lines = [
        point.id + (", in the engine" if point.chosen else ""),
        f"{examples} {metric.figure(point.quality)} {metric.sign}".rstrip(),
        f"p50 {p50} ms{how}, p10 {p10}, p95 {p95}",
        f"{count(point.parameters)} parameters, {count(point.macs)} MACs",
    ]
    return "\n".join(lines)
