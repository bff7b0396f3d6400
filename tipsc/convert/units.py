"""Which units of which axes belong together: what is known when an analysis is finished.

An axis is a row of *terms*, one after the other (a concatenation); a term is a nest of *units*,
outermost first (heads, and the channels of each). Nothing here changes: a pass that learns more
gives another :class:`Structure`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from torch import fx


@dataclass(frozen=True, eq=False)
class UnitSet:
    """Units that are kept or cut together, wherever they occur; two sets are never the same.

    Attributes:
        size: how many.
        fixed: why all of them must stay, or None.
    """

    size: int
    fixed: str | None = None


Term: TypeAlias = tuple[UnitSet, ...]
Axis: TypeAlias = tuple[Term, ...]


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


def term_size(term: Iterable[_Sized]) -> int:
    return math.prod(units.size for units in term)


def axis_size(axis: Iterable[Iterable[_Sized]]) -> int:
    return sum(map(term_size, axis))


def free(axis: Axis) -> list[UnitSet]:
    """The units of an axis that need not all stay."""
    return [units for term in axis for units in term if units.fixed is None]


def pieces(axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """An axis in pieces of these sizes; that of size 0 has no terms.

    Raises:
        ValueError: a border lies inside of units that need not all stay.
    """
    terms, result = list(axis), []
    for size in sizes:
        piece: list[Term] = []
        while size:
            term = terms.pop(0)
            if term_size(term) > size:
                term, rest = _cut(term, size)
                terms.insert(0, rest)
            piece.append(term)
            size -= term_size(term)
        result.append(tuple(piece))
    return result


def _cut(term: Term, size: int) -> tuple[Term, Term]:
    outer, *inner = term
    first, left = divmod(size, term_size(inner))
    if left or outer.fixed is None:
        raise ValueError("a border lies inside of units that are kept or cut together")
    rest = UnitSet(outer.size - first, outer.fixed)
    return (UnitSet(first, outer.fixed), *inner), (rest, *inner)


@dataclass(frozen=True)
class Structure:
    """The axes of all values of a program.

    Attributes:
        axes: of each node that gives a tensor, one for each of its axes.
        several: of each node that gives several tensors, the axes of each.
        notes: (layer, why) where an operation was not understood.
    """

    axes: Mapping[fx.Node, tuple[Axis, ...]]
    several: Mapping[fx.Node, tuple[tuple[Axis, ...], ...]]
    notes: tuple[tuple[str, str], ...] = ()

    def nodes(self) -> Iterator[fx.Node]:
        yield from self.axes
        yield from self.several

    def all_axes(self, node: fx.Node) -> tuple[Axis, ...]:
        """Of what a node gives, be it one tensor or several; none if it gives no tensor."""
        found = self.several.get(node)
        return (
            self.axes.get(node, ()) if found is None else tuple(a for axes in found for a in axes)
        )

    def is_elastic(self, node: fx.Node) -> bool:
        """Whether the size of a tensor may depend on the path."""
        return any(map(free, self.axes.get(node, ())))

    def fixing(self, kept: Iterable[UnitSet], reason: str) -> Structure:
        """The same, but that all of these units stay."""
        fixed = {units: replace(units, fixed=reason) for units in kept}

        def after(axes: Sequence[Axis]) -> tuple[Axis, ...]:
            return tuple(
                tuple(tuple(fixed.get(units, units) for units in term) for term in axis)
                for axis in axes
            )

        return replace(
            self,
            axes={node: after(axes) for node, axes in self.axes.items()},
            several={node: tuple(map(after, found)) for node, found in self.several.items()},
        )
