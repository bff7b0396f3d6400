"""TAS drawn on the supernet.

Feature maps stand in topological order, block by block, and rows wrap at blocks. The area and
the colour of a disc give its TAS; lines are operations, and arcs those that skip feature maps.
Width groups of a feature map (``label``, ``label[1]``, ...) hang below each other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tipsc.report.data import FeatureMap
from tipsc.report.format import is_number, shortened, significant
from tipsc.report.html import Html, number, shape, tag
from tipsc.report.svg import LETTER, NARROW, drawing, text

SHADES = 7
_GROUP = re.compile(r"\[\d+\]$")
_GAP = 14.0
_HEAD = 18.0
_STUB = 26.0


@dataclass(frozen=True)
class _Column:
    """The width groups of one feature map."""

    label: str
    groups: tuple[FeatureMap, ...]
    inputs: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.label.rpartition(".")[2]

    @property
    def block(self) -> str:
        """The label up to its first numbers, which count stages and blocks.

        ``stages.1.0`` for ``stages.1.0.expand``, ``blocks.3`` for ``blocks.3.attention.query``,
        ``features`` for ``features.7``, nothing for ``pool``.
        """
        parts = self.label.split(".")
        digits = [part.split("#")[0].isdigit() for part in parts]
        if True not in digits:
            return ".".join(parts[:-1])
        cut = digits.index(True)
        while cut < len(parts) and digits[cut]:
            cut += 1
        return ".".join(parts[: min(cut, len(parts) - 1)])


@dataclass(frozen=True)
class _Row:
    """Blocks side by side: the place of each column, and the frames with their titles."""

    columns: tuple[tuple[_Column, float], ...]
    frames: tuple[tuple[str, float, float], ...]

    def justified(self, width: float) -> _Row:
        """Spread over the whole width, unless it would look torn."""
        stretch = width / self.frames[-1][2]
        if stretch > 1.4:
            return self
        return _Row(
            tuple((column, x * stretch) for column, x in self.columns),
            tuple((title, left * stretch, right * stretch) for title, left, right in self.frames),
        )


TAS = "TAS"


def network(feature_maps: Sequence[FeatureMap], width: int, *, measure: str = TAS) -> Html | None:
    """The drawing, or None where there is nothing to draw.

    Args:
        measure: what the scores are called.
    """
    columns = _columns(feature_maps)
    if not columns:
        return None
    compact = width <= NARROW
    pitch, rows = _fitted(columns, width, (17.0,) if compact else (25.0, 23.0, 21.0, 19.0))
    scores = [f.tas for f in feature_maps if is_number(f.tas) and f.tas > 0]
    top_score = max(scores, default=1.0)
    number_of = {column.label: place for place, column in enumerate(columns)}
    parts: list[Html] = []
    y = 0.0
    for row in rows:
        skips = _skips(row, number_of, columns)
        above = 10.0 + max((_rise(span) for _, _, span in skips), default=0.0)
        groups = max(len(column.groups) for column, _ in row.columns)
        below = 13.0 + pitch * 0.8 * (groups - 1) + (6.0 if compact else 74.0)
        line_y = y + _HEAD + above
        for title, left, right in row.frames:
            parts += _frame(title, left, right, y, _HEAD + above + below)
        parts += _edges(row, skips, line_y)
        for column, x in row.columns:
            parts += _discs(column, x, line_y, pitch, top_score, measure, brief=compact)
        if not compact:
            parts.append(_names(row, line_y, pitch))
        y += _HEAD + above + below + 12
    return drawing(width, y, f"{measure} of each feature map", parts)


def legend(feature_maps: Sequence[FeatureMap], measure: str = TAS) -> Html | None:
    """Shades with the scores that they stand for."""
    scores = [f.tas for f in feature_maps if is_number(f.tas) and f.tas > 0]
    if not scores:
        return None
    swatches = [tag("i", class_=f"t{k}") for k in range(SHADES)]
    return tag(
        "p",
        tag("span", f"{measure} 0"),
        tag("span", *swatches, class_="ramp"),
        tag("span", f"{significant(max(scores))}, the highest"),
        class_="legend",
    )


def _columns(feature_maps: Sequence[FeatureMap]) -> list[_Column]:
    collected: dict[str, list[FeatureMap]] = {}
    for feature_map in feature_maps:
        collected.setdefault(_GROUP.sub("", feature_map.label), []).append(feature_map)
    return [
        _Column(
            label,
            tuple(groups),
            tuple(dict.fromkeys(_GROUP.sub("", i) for g in groups for i in g.inputs)),
        )
        for label, groups in collected.items()
    ]


def _fitted(
    columns: Sequence[_Column], width: float, pitches: Sequence[float]
) -> tuple[float, list[_Row]]:
    """Fewest rows, where it takes one row in five less to stand closer by a fifth."""
    layouts = [(pitch, _rows(columns, width, pitch)) for pitch in pitches]
    return min(layouts, key=lambda layout: len(layout[1]) / layout[0])


def _rows(columns: Sequence[_Column], width: float, pitch: float) -> list[_Row]:
    """Blocks side by side as long as they fit; a block that is wider than a row is continued."""
    room = max(int((width - 2 * 8) / pitch), 1)
    rows: list[_Row] = []
    placed: list[tuple[_Column, float]] = []
    frames: list[tuple[str, float, float]] = []
    x = 0.0
    for block, members in groupby(columns, key=lambda column: column.block):
        inside = list(members)
        for first in range(0, len(inside), room):
            piece = inside[first : first + room]
            span = len(piece) * pitch + 16
            if placed and x + span > width:
                rows.append(_Row(tuple(placed), tuple(frames)).justified(width))
                placed, frames, x = [], [], 0.0
            placed += [(column, x + 8 + pitch * (k + 0.5)) for k, column in enumerate(piece)]
            frames.append((block if first == 0 else f"{block} …", x, x + span))
            x += span + _GAP
    rows.append(_Row(tuple(placed), tuple(frames)).justified(width))
    return rows


_Skip = tuple[float | None, float | None, float]


def _skips(row: _Row, number_of: dict[str, int], columns: Sequence[_Column]) -> list[_Skip]:
    """Operations of this row that pass over feature maps: from x, to x and the distance in px.

    An end in another row is None.
    """
    place = {column.label: x for column, x in row.columns}
    skips: list[_Skip] = []
    for column, x in row.columns:
        here = number_of[column.label]
        for source in column.inputs:
            if source in number_of and number_of[source] != here - 1:
                start = place.get(source)
                skips.append((start, x, x - start if start is not None else _STUB))
    last = number_of[row.columns[-1][0].label]
    leaving = (source for column in columns[last + 2 :] for source in column.inputs)
    skips += [(place[source], None, _STUB) for source in leaving if source in place]
    # The next row's first feature map reads the last of this row without skipping anything.
    if last + 1 < len(columns):
        first = (source for source in columns[last + 1].inputs if number_of.get(source) != last)
        skips += [(place[source], None, _STUB) for source in first if source in place]
    return list(dict.fromkeys(skips))


def _rise(span: float) -> float:
    """Height of an arc over `span` px: it grows, but ever more slowly."""
    return min(8.0 + 2.2 * math.sqrt(max(span, 0.0)), 46.0)


def _edges(row: _Row, skips: Sequence[_Skip], y: float) -> list[Html]:
    straight = [
        f"M{number(from_x)} {number(y)}H{number(x)}"
        for (before, from_x), (column, x) in pairwise(row.columns)
        if before.label in column.inputs
    ]
    arcs = [_arc(start, end, span, y) for start, end, span in skips]
    paths = []
    if straight:
        paths.append(shape("path", d="".join(straight), class_="edge"))
    if arcs:
        paths.append(shape("path", d="".join(arcs), class_="skip"))
    return paths


def _arc(start: float | None, end: float | None, span: float, y: float) -> str:
    """From feature map to feature map, or a stub at the one that stands in this row."""
    high = y - 15
    if start is None:
        assert end is not None
        return (
            f"M{number(end - _STUB)} {number(high)}Q{number(end - 5)} {number(high)} "
            f"{number(end)} {number(y)}"
        )
    if end is None:
        return (
            f"M{number(start)} {number(y)}Q{number(start + 5)} {number(high)} "
            f"{number(start + _STUB)} {number(high)}"
        )
    bend, high = min((end - start) * 0.25, 30.0), y - _rise(span) * 4 / 3
    return (
        f"M{number(start)} {number(y)}C{number(start + bend)} {number(high)} "
        f"{number(end - bend)} {number(high)} {number(end)} {number(y)}"
    )


def _frame(title: str, left: float, right: float, y: float, height: float) -> list[Html]:
    frame = shape(
        "rect", x=left + 0.5, y=y + 0.5, width=right - left - 1, height=height - 1, rx=6,
        class_="block" if title else "block loose",
    )  # fmt: skip
    letters = int((right - left - 12) / (LETTER + 0.2))
    if not title or letters < 3:
        return [frame]
    name = text(round(left) + 8, round(y) + 14, shortened(title, letters), kind="name")
    return [frame, _hover(name, title if len(title) > letters else "")]


def _hover(name: Html, whole: str) -> Html:
    """A name, with what a pointer over it shows where it was shortened."""
    return Html(f"{name.removesuffix('</text>')}{tag('title', whole)}</text>") if whole else name


def _discs(
    column: _Column, x: float, y: float, pitch: float, top_score: float, measure: str, brief: bool
) -> list[Html]:
    discs = []
    for k, feature_map in enumerate(column.groups):
        known = is_number(feature_map.tas) and feature_map.tas > 0
        share = feature_map.tas / top_score if known else 0.0
        title = f"{feature_map.label}\n{measure} {significant(feature_map.tas, 4)}"
        if k == 0 and column.inputs and not brief:
            title += f"\nreads {', '.join(column.inputs[:6])}"
        discs.append(
            shape(
                "circle",
                title,
                cx=x,
                cy=y + k * pitch * 0.8,
                r=max(2.2, (pitch / 2 - 2) * math.sqrt(share)),
                class_=f"t{min(int(share * SHADES), SHADES - 1)}",
            )
        )
    return discs


def _names(row: _Row, y: float, pitch: float) -> Html:
    """The names below the discs, read from top to bottom."""
    # In a frame turned by a right angle, x runs down the page and y to the left.
    # Whole pixels: a page has hundreds of names.
    names = [
        text(
            round(y + 13 + pitch * 0.8 * (len(column.groups) - 1)),
            round(3 - x),
            shortened(column.name, 11),
        )
        for column, x in row.columns
    ]
    return tag("g", *names, transform="rotate(90)", class_="map")
