"""Sizes that depend on the path."""

from __future__ import annotations

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


Dim: TypeAlias = int | Choice | Units
"""A fixed size, the value of a choice, or a choice's value times a unit's size."""


def at(dim: Dim, path: Path) -> int:
    """The size on this path."""
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Units):
        return path[dim.choice.name] * dim.size
    return path[dim.name]


def largest(dim: Dim) -> int:
    """The size that the weights are stored in."""
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Units):
        return dim.choice.largest * dim.size
    return dim.largest


def group(dim: Dim, path: Path) -> int:
    """How many of a size's options are at most the one on this path; 1 for a fixed size."""
    if isinstance(dim, int):
        return 1
    choice = dim.choice if isinstance(dim, Units) else dim
    return choice.options.index(path[choice.name]) + 1
