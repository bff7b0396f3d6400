"""The axes of all values of a program, followed from operation to operation by rules.

A rule takes the axes of an operation's inputs, unifies what is paired, and gives the axes of its
output. An operator without a rule fixes everything that it touches.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx

from tipsc.convert import axes as ax
from tipsc.convert.blame import blamed_on
from tipsc.convert.ops import NotUnderstood, op_of
from tipsc.convert.ops.record import Axes
from tipsc.convert.program import Program, bound, hint, is_tensors, name_of, scope_of


class Analysis:
    """The axes of all values of a program.

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
        for node in program.nodes():
            program.check_time(node)
            if is_tensors(node.meta.get("val")):
                with blamed_on(node):
                    self._apply(node)
        for node in program.outputs:
            ax.fix_all(self.axes[node], "the model's output")

    def _apply(self, node: fx.Node) -> None:
        try:
            found = self._rule(node)
            self._check(node, found)
        except (
            NotUnderstood, ValueError, IndexError, KeyError, TypeError, AttributeError
        ) as error:  # fmt: skip
            reason = str(error) if isinstance(error, NotUnderstood) else ""
            reason = f"{name_of(node)} is not understood" + (f": {reason}" if reason else "")
            touched = self._fix_inputs(node, reason)
            if touched:
                self.notes.append((scope_of(node) or name_of(node), reason))
            found = self.opaque(node, reason)
        self.axes[node] = found

    def _rule(self, node: fx.Node) -> Any:
        if node.target is operator.getitem:
            return self.axes[node.all_input_nodes[0]][cast(int, node.args[1])]
        if not isinstance(node.target, torch._ops.OpOverload):
            raise NotUnderstood
        rule = op_of(node).axes
        if rule is None:
            raise NotUnderstood
        return rule(self, node, bound(node))

    def _check(self, node: fx.Node, found: Any) -> None:
        value = node.meta["val"]
        if isinstance(value, Tensor):
            found, value = [found], [value]
        for axes, tensor in zip(found, value, strict=True):
            sizes = [hint(size) for size in tensor.shape]
            if [ax.axis_size(axis) for axis in axes] != sizes:
                raise NotUnderstood("its output has another shape than expected")

    def _fix_inputs(self, node: fx.Node, reason: str) -> bool:
        touched = False
        for source in node.all_input_nodes:
            if source not in self.axes:
                continue
            axes = self.axes[source]
            for axis in (
                axes if isinstance(source.meta["val"], Tensor) else [x for i in axes for x in i]
            ):
                for term in ax.settled(axis):
                    for group in term:
                        touched = touched or group.fixed is None
                        group.fix(reason)
        return touched

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


def analyse(program: Program) -> Analysis:
    """The axes of all values of a program, and what was not understood of it."""
    return Analysis(program)
