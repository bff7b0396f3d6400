"""The sizes of axes on a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import fx

from tipsc.convert.units import Axis, UnitSet, axis_size
from tipsc.elastic.dims import Counts, Dim, Layout
from tipsc.paths import Choice


@dataclass(frozen=True)
class Resolutions:
    """The resolutions that a program can be run at.

    Attributes:
        choice: pixels a side; the largest is the size of the example.
        shapes: for each operation whose shape depends on it, its shape for each option.
        restored: outputs with places, (N, C, h, w), brought back to their full height and width.
    """

    choice: Choice
    shapes: Mapping[fx.Node, tuple[tuple[int, ...], ...]]
    restored: Mapping[fx.Node, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sizes:
    """Of all axes of a program.

    Attributes:
        counts: how many of the units a path uses, where it need not be all.
        kernels: by the weight of a convolution the choice of its kernel's size.
        resolutions: that the program can be run at, if there is a choice of them.
    """

    counts: Mapping[UnitSet, Counts] = field(default_factory=dict)
    kernels: Mapping[fx.Node, Choice] = field(default_factory=dict)
    resolutions: Resolutions | None = None

    def dim(self, axis: Axis) -> Dim:
        """The size of an axis, but for the resolution."""
        segments = tuple(
            tuple(self.counts.get(units, units.size) for units in term) for term in axis
        )
        if any(isinstance(f, Counts) for segment in segments for f in segment):
            return Layout(segments)
        return axis_size(axis)

    def shape(self, node: fx.Node, axes: Sequence[Axis]) -> tuple[Dim, ...] | None:
        """The sizes of an operation's output; None if one follows several choices."""
        dims = [self.dim(axis) for axis in axes]
        found = self.resolutions.shapes.get(node) if self.resolutions else None
        if self.resolutions is None or found is None:
            return tuple(dims)
        for place, sizes in enumerate(zip(*found, strict=True)):
            if len(set(sizes)) > 1:
                if not isinstance(dims[place], int):
                    return None
                dims[place] = Layout(((Counts(self.resolutions.choice, sizes),),))
        return tuple(dims)
