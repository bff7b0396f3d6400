"""What paths lose by sharing weights, and what weights of their own bought: rows of two tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tipsc.pipeline.climbs import PathClimb, trades
from tipsc.quality import Quality
from tipsc.report.format import byte_size, plural, significant
from tipsc.report.html import Html, tag
from tipsc.report.metric import metric_of
from tipsc.report.notes import called

STEPS = ("path", "with weights of its own", "bytes", "validation", "gained", "still lost", "")
TRADES = ("engine", "bytes", "mean lost", "worst lost")


def with_names(climbs: Sequence[PathClimb], names: Mapping[str, str]) -> list[PathClimb]:
    """The same, each path by its name and its id."""
    return [replace(climb, path_id=called(climb.path_id, names)) for climb in climbs]


def step_rows(climbs: Sequence[PathClimb]) -> Iterator[tuple[str, ...]]:
    """Cells of what each path was tried with, under :data:`STEPS`."""
    for climb in climbs:
        figure, sign = metric_of(climb.shared).figure, climb.shared
        lost = _with_error(climb.lost, climb.error, sign)
        yield climb.path_id, "none", byte_size(0), figure(climb.shared), "", lost, ""
        for step in climb.tried:
            yield (
                "",
                step.label,
                byte_size(step.bytes),
                figure(step.quality),
                _with_error(step.gained, step.error, sign),
                points(step.lost, sign),
                "kept" if step.kept else "",
            )
        if not any(step.bytes == climb.all_bytes for step in climb.tried):
            size, left = byte_size(climb.all_bytes), points(0.0, sign)
            yield "", "all", size, figure(climb.alone), "", left, ""


def trade_rows(climbs: Sequence[PathClimb]) -> Iterator[tuple[str, ...]]:
    """Cells of the engines that could be built, under :data:`TRADES`."""
    for trade in trades(climbs):
        lost = (points(value, climbs[0].shared) for value in (trade.mean, trade.worst))
        yield trade.label, byte_size(trade.bytes), *lost


def said_of(climbs: Sequence[PathClimb]) -> str:
    """What the tables say, and what the data cannot tell."""
    losing = [climb for climb in climbs if climb.tried]
    unsure = [c for c in climbs if abs(c.lost) <= 2 * c.error]
    unit = metric_of(climbs[0].shared).lost
    text = (
        f"{len(losing)} of {plural(len(climbs), 'path')} lost more {unit} on validation data by "
        "sharing than build.share_loss allows, against itself with all weights its own"
    )
    if unsure:
        text += (
            f"; of {len(unsure)} the validation examples cannot tell whether they lose at all "
            "(less than two standard errors)"
        )
    return text


def points(value: float, of: Quality) -> str:
    """A difference of two qualities."""
    return f"{100 * value:.2f}" if metric_of(of).share else significant(value)


def sharing(climbs: Sequence[PathClimb]) -> Html | None:
    """The section of the page; None where nobody looked."""
    if not climbs:
        return None
    return tag(
        "section",
        tag("h2", "What sharing costs"),
        tag(
            "p",
            f"{said_of(climbs)}. Bytes are what the engine’s weights grow by, losses are in "
            f"{metric_of(climbs[0].shared).lost}. The second table is of engines that could be "
            "built: always what gains most for its bytes.",
            class_="note",
        ),
        _table(STEPS, step_rows(climbs)),
        _table(TRADES, trade_rows(climbs)),
    )


def _table(headings: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Html:
    words = {"path", "with weights of its own", "engine"}
    sides = ["left" if heading in words else None for heading in headings]
    head = (tag("th", h, class_=side) for h, side in zip(headings, sides, strict=True))
    body = (
        tag("tr", *(tag("td", cell, class_=side) for cell, side in zip(row, sides, strict=True)))
        for row in rows
    )
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))
    return tag("div", table, class_="scroll")


def _with_error(value: float, error: float, of: Quality) -> str:
    return f"{points(value, of)} ± {points(error, of)}"
