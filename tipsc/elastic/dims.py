"""Sizes that depend on the path."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from tipsc.paths import Choice, Path


@dataclass(frozen=True)
class Units:
    """A size that a choice counts in units, for example attention heads of `size` channels.

    Args:
        choice: how many units.
        size: channels of one unit.
    """

    choice: Choice
    size: int


@dataclass(frozen=True)
class Counts:
    """How many units of an axis a path uses: one number for each option of a choice.

    Several axes can follow one choice with numbers of their own.
    """

    choice: Choice
    counts: tuple[int, ...]

    def on(self, path: Path) -> int:
        """The number of units on this path."""
        return self.counts[self.choice.options.index(path[self.choice.name])]


@dataclass(frozen=True)
class Layout:
    """An axis made of segments that stand one after the other.

    Each segment is a nest of factors from the outermost to the innermost: (heads, 16) are heads of
    16 channels, (3, heads, 16) is that three times. A path uses the first units of each factor, in
    each segment; where that is no prefix of the axis it is several ranges.
    """

    segments: tuple[tuple[int | Counts, ...], ...]


Dim: TypeAlias = int | Choice | Units | Layout
"""A fixed size, the value of a choice, a choice's value times a unit's size, or a layout."""

Part: TypeAlias = slice | tuple[slice, ...]
"""The part of an axis that a path uses: a range, or several."""


def at(dim: Dim, path: Path) -> int:
    """The size on this path."""
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Units):
        return path[dim.choice.name] * dim.size
    if isinstance(dim, Layout):
        return sum(math.prod(_used(f, path) for f in segment) for segment in dim.segments)
    return path[dim.name]


def largest(dim: Dim) -> int:
    """The size that the weights are stored in."""
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Units):
        return dim.choice.largest * dim.size
    if isinstance(dim, Layout):
        return sum(math.prod(map(_full, segment)) for segment in dim.segments)
    return dim.largest


def part(dim: Dim, path: Path) -> Part:
    """The part of an axis of this size that the path uses."""
    if not isinstance(dim, Layout):
        return slice(0, at(dim, path))
    ranges: list[tuple[int, int]] = []
    start = 0
    for segment in dim.segments:
        for low, high in _ranges(segment, path):
            _append(ranges, start + low, start + high)
        start += math.prod(map(_full, segment))
    slices = tuple(slice(low, high) for low, high in ranges)
    return slices[0] if len(slices) == 1 else slices


def group(dim: Dim, path: Path) -> int:
    """How many of a size's options are at most the one on this path; 1 for a fixed size."""
    return max((c.options.index(path[c.name]) + 1 for c in choices_of(dim)), default=1)


def choices_of(dim: Dim) -> tuple[Choice, ...]:
    """The choices that a size depends on, each once."""
    if isinstance(dim, int):
        return ()
    if isinstance(dim, Choice):
        return (dim,)
    if isinstance(dim, Units):
        return (dim.choice,)
    found = (f.choice for segment in dim.segments for f in segment if isinstance(f, Counts))
    return tuple(dict.fromkeys(found))


def _used(factor: int | Counts, path: Path) -> int:
    return factor if isinstance(factor, int) else factor.on(path)


def _full(factor: int | Counts) -> int:
    return factor if isinstance(factor, int) else factor.counts[-1]


def _ranges(segment: tuple[int | Counts, ...], path: Path) -> list[tuple[int, int]]:
    """Half-open ranges of a segment that starts at 0."""
    if not segment:
        return [(0, 1)]
    inner = _ranges(segment[1:], path)
    size = math.prod(map(_full, segment[1:]))
    ranges: list[tuple[int, int]] = []
    if inner == [(0, size)]:
        return [(0, _used(segment[0], path) * size)]
    for unit in range(_used(segment[0], path)):
        for low, high in inner:
            _append(ranges, unit * size + low, unit * size + high)
    return ranges


def _append(ranges: list[tuple[int, int]], low: int, high: int) -> None:
    if ranges and ranges[-1][1] == low:
        ranges[-1] = (ranges[-1][0], high)
    elif high > low:
        ranges.append((low, high))
