"""The axes of all values of a program, followed from operation to operation by rules.

A rule takes the axes of an operation's inputs, unifies what is paired, and gives the axes of its
output. An operator without a rule fixes everything that it touches.

Only here do groups change: what :func:`analyse` gives is finished before anyone decides on choices.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx

from tipsc.convert import axes as ax
from tipsc.convert.blame import blamed_on
from tipsc.convert.ops import NotUnderstood, Role, op_of
from tipsc.convert.ops.record import Axes
from tipsc.convert.program import Program, bound, hint, is_tensors, name_of, scope_of
from tipsc.convert.units import Axis, Structure, UnitSet, free


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
        self.axes[program.input] = self.opaque(program.input, "the model's input")
        for node in program.nodes():
            program.check_time(node)
            if is_tensors(node.meta.get("val")):
                with blamed_on(node):
                    self._apply(node)
        for axis in self.axes[program.output]:
            ax.fix(axis, "the model's output")

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
            for axis in self.all_axes(source):
                for term in ax.settled(axis):
                    for group in term:
                        touched = touched or group.fixed is None
                        group.fix(reason)
        return touched

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


def analyse(program: Program, streams: Iterable[fx.Node]) -> Structure:
    """Which units of a program belong together and which must stay.

    Args:
        streams: the additions that close skips; the streams that they add to keep their width.
    """
    analysis = Analysis(program)
    for node in streams:
        ax.fix_all(analysis.axes[node], "the residual stream")
    _keep_whole(analysis)
    structure = _finished(analysis)
    return structure.fixing(_unread(program, structure), "not read")


def _keep_whole(analysis: Analysis) -> None:
    """Heads are cut whole: in a nest only the outermost group that can be elastic is.

    Until nothing changes: a closed sum opens when all around it is fixed.
    """
    axes = [axis for node in analysis.axes for axis in analysis.all_axes(node)]
    made_whole = 1
    while made_whole:
        made_whole = sum(_is_made_whole(term) for axis in axes for term in ax.settled(axis))


def _is_made_whole(term: ax.Term) -> bool:
    """Fixes the units inside free ones; whether there were any."""
    free = [group for group in term if group.root.fixed is None]
    for group in free[1:]:
        group.fix("counted in whole heads or groups")
    return len(free) > 1


def _finished(analysis: Analysis) -> Structure:
    """What the groups have become, which nothing changes any more."""
    known: dict[ax.Group, UnitSet] = {}

    def units(group: ax.Group) -> UnitSet:
        return known.setdefault(group.root, UnitSet(group.root.size, group.root.fixed))

    def finished(axes: Iterable[ax.Axis]) -> tuple[Axis, ...]:
        return tuple(tuple(tuple(map(units, term)) for term in ax.settled(axis)) for axis in axes)

    several = {node for node in analysis.axes if not isinstance(node.meta["val"], Tensor)}
    return Structure(
        {node: finished(axes) for node, axes in analysis.axes.items() if node not in several},
        {node: tuple(map(finished, analysis.axes[node])) for node in several},
        tuple(dict.fromkeys(analysis.notes)),
    )


def _unread(program: Program, structure: Structure) -> set[UnitSet]:
    """What is cut off a table of weights and never used: a choice of it would change nothing.

    A unit is used where it meets what depends on the input, or is summed over.
    """
    seen = {n: {u for a in structure.all_axes(n) for u in free(a)} for n in structure.nodes()}
    computed, used = {program.input}, set[UnitSet]()
    for node in program.nodes():
        sources = [n for n in node.all_input_nodes if n in seen]
        if node in seen and not computed.isdisjoint(sources):
            computed.add(node)
            used |= seen[node]
        if op_of(node).role not in (Role.CUT, Role.SPLIT):
            used |= {u for n in sources for u in seen[n]} - seen.get(node, set())
    return {units for node in program.tensors for units in seen[node]} - used
