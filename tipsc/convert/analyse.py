"""Follows the axes of all values of a program from operation to operation, by rules.

A rule takes the axes of an operation's inputs, unifies what is paired, and gives the axes of its
output. An operator without a rule fixes everything that it touches.

Only here do groups change: what :func:`analyse` gives is finished before anyone decides on choices.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, NotUnderstood
from tipsc.convert.blame import blamed_on
from tipsc.convert.ops import Role, op_of
from tipsc.convert.program import Program, bound, hint, is_tensors, name_of, scope_of
from tipsc.convert.report import RESIDUAL_STREAM
from tipsc.convert.units import Axis, Structure, UnitSet, free


def analyse(program: Program, streams: Iterable[fx.Node]) -> Structure:
    """Which units of a program belong together and which must stay.

    Args:
        streams: additions that close skips; the streams that these add to keep their width.
    """
    analysis = Analysis(program)
    for node in program.nodes():
        program.check_time(node)
        if is_tensors(node.meta.get("val")):
            with blamed_on(node):
                _apply(analysis, node)
    for node in program.outputs:
        ax.fix_all(analysis.axes[node], "the model's output")
    for node in streams:
        ax.fix_all(analysis.axes[node], RESIDUAL_STREAM)
    _keep_whole(analysis)
    structure = _finished(analysis)
    return structure.fixing(_unread(program, structure), "not read")


def _apply(analysis: Analysis, node: fx.Node) -> None:
    try:
        found = _rule(analysis, node)
        _check(node, found)
    except (
        NotUnderstood, ValueError, IndexError, KeyError, TypeError, AttributeError
    ) as error:  # fmt: skip
        reason = str(error) if isinstance(error, NotUnderstood) else ""
        reason = f"{name_of(node)} is not understood" + (f": {reason}" if reason else "")
        touched = _fix_inputs(analysis, node, reason)
        if touched:
            analysis.notes.append((scope_of(node) or name_of(node), reason))
        found = analysis.opaque(node, reason)
    analysis.axes[node] = found


def _rule(analysis: Analysis, node: fx.Node) -> Any:
    if node.target is operator.getitem:
        return analysis.axes[node.all_input_nodes[0]][cast(int, node.args[1])]
    if not isinstance(node.target, torch._ops.OpOverload):
        raise NotUnderstood
    rule = op_of(node).axes
    if rule is None:
        raise NotUnderstood
    return rule(analysis, node, bound(node))


def _check(node: fx.Node, found: Any) -> None:
    value = node.meta["val"]
    if isinstance(value, Tensor):
        found, value = [found], [value]
    for axes, tensor in zip(found, value, strict=True):
        sizes = [hint(size) for size in tensor.shape]
        if [ax.axis_size(axis) for axis in axes] != sizes:
            raise NotUnderstood("its output has another shape than expected")


def _fix_inputs(analysis: Analysis, node: fx.Node, reason: str) -> bool:
    touched = False
    for source in node.all_input_nodes:
        for axis in analysis.all_axes(source):
            for term in ax.settled(axis):
                for group in term:
                    touched = touched or group.fixed is None
                    group.fix(reason)
    return touched


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
    computed, used = set(program.inputs), set[UnitSet]()
    for node in program.nodes():
        sources = [n for n in node.all_input_nodes if n in seen]
        if node in seen and not computed.isdisjoint(sources):
            computed.add(node)
            used |= seen[node]
        if op_of(node).role not in (Role.CUT, Role.SPLIT):
            used |= {u for n in sources for u in seen[n]} - seen.get(node, set())
    return {units for node in program.tensors for units in seen[node]} - used
