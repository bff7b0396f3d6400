"""The axes of all values of a program, as far as they have been followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch import Tensor, fx

from tipsc.convert import axes as ax
from tipsc.convert.axes import Axis
from tipsc.convert.program import Program, hint

Axes: TypeAlias = list[Axis]


class NotUnderstood(Exception):
    """A rule met arguments that it does not cover; the message says which."""


class Analysis:
    """The axes of all values of a program, as far as the rules have come.

    Attributes:
        axes: of each node that gives a tensor, one :data:`Axis` for each of its axes; for a node
            that gives several tensors a list of such lists.
        notes: (layer, why) where an operation was not understood.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.axes: dict[fx.Node, Any] = {}
        self.notes: list[tuple[str, str]] = []
        for node in program.tensors:
            self.axes[node] = [ax.new_axis(size) for size in node.meta["val"].shape]
        for node in program.inputs:
            self.axes[node] = self.opaque(node, "the model's input")

    def all_axes(self, node: fx.Node) -> Axes:
        """Of what a node gives, be it one tensor or several; none if it gives no tensor."""
        found = self.axes.get(node, [])
        if isinstance(node.meta.get("val"), Tensor):
            return list(found)
        return [axis for axes in found for axis in axes]

    def opaque(self, node: fx.Node, reason: str) -> Any:
        """Axes of which nothing is known but their sizes."""
        value = node.meta["val"]
        if isinstance(value, Tensor):
            return [ax.new_axis(hint(size), reason) for size in value.shape]
        return [[ax.new_axis(hint(size), reason) for size in item.shape] for item in value]

    def broadcast(self, node: fx.Node, inputs: Sequence[fx.Node]) -> Axes:
        """Unifies the axes of tensors that are combined element by element."""
        sizes = [hint(size) for size in node.meta["val"].shape]
        result: Axes = []
        for place in range(1, len(sizes) + 1):
            size, chosen = sizes[-place], None
            for source in inputs:
                axes = self.axes[source]
                if len(axes) < place or ax.axis_size(axes[-place]) != size:
                    continue
                if chosen is None:
                    chosen = axes[-place]
                elif size != 1:
                    ax.unify(chosen, axes[-place])
            if chosen is None:
                raise NotUnderstood("its output has an axis of its own")
            result.insert(0, chosen)
        return result

    def of(self, node: Any) -> Axes:
        """The axes of an argument that must be one tensor."""
        if not isinstance(node, fx.Node) or node not in self.axes:
            raise NotUnderstood("an argument is no tensor")
        return list(self.axes[node])
