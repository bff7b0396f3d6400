"""Axes are reordered, reshaped, repeated."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes, NotUnderstood
from tipsc.convert.axes import Group
from tipsc.convert.emit import Emitter
from tipsc.convert.ops.record import (
    Arguments,
    Op,
    Rewrite,
    Role,
    Rule,
    always,
    rank_of,
)
from tipsc.convert.program import hint, name_of
from tipsc.convert.writer import Writer

aten = torch.ops.aten


def _permute(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    return [x[place] for place in args["dims"]]


def _transpose(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    first, second = args.get("dim0", 0), args.get("dim1", 1)
    if name_of(node) in ("t", "numpy_T", "mT") and len(x) < 2:
        return x
    if name_of(node) == "numpy_T":
        return x[::-1]
    if name_of(node) == "mT":
        first, second = -2, -1
    x[first], x[second] = x[second], x[first]
    return x


def _unsqueeze(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    x.insert(args["dim"] % (len(x) + 1), ((),))
    return x


def _squeeze(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    dims = args.get("dim", list(range(len(x))))
    places = {d % len(x) for d in ([dims] if isinstance(dims, int) else dims)}
    return [axis for i, axis in enumerate(x) if i not in places or ax.axis_size(axis) != 1]


def _reshape(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    return ax.reshape(a.of(args["self"]), [hint(s) for s in node.meta["val"].shape])


def _expand(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    shape = [hint(s) for s in node.meta["val"].shape]
    x = [((),)] * (len(shape) - len(x)) + x
    return [
        axis if ax.axis_size(axis) == size else ax.new_axis(size, "repeated")
        for axis, size in zip(x, shape, strict=True)
    ]


def _repeat(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x, repeats = a.of(args["self"]), args["repeats"]
    x = [((),)] * (len(repeats) - len(x)) + x
    result: Axes = []
    for axis, count, size in zip(x, repeats, node.meta["val"].shape, strict=True):
        if count == 1:
            result.append(axis)
            continue
        ax.fix(axis, "repeated")
        result.append(ax.new_axis(hint(size), "repeated"))
    return result


def _repeat_interleave(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x, copies = a.of(args["self"]), args["repeats"]
    if not isinstance(copies, int) or args["dim"] is None or args["output_size"] is not None:
        raise NotUnderstood("another number of copies of each, or of a flattened tensor")
    axis = args["dim"] % len(x)
    if copies > 1:
        x[axis] = tuple((*term, Group(copies, "repeated")) for term in x[axis])
    return x


def _roll(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    for place in args.get("dims") or range(len(x)):
        ax.fix(x[place], "rolled or flipped")
    return x


def _repeat_of_one(w: Writer) -> fx.Node | None:
    """What is repeated along axes of one only, such as a token for each example, is expanded."""
    x, repeats = w.args["self"], list(w.args["repeats"])
    given = [1] * (len(repeats) - rank_of(x)) + list(x.meta["val"].shape)
    if any(size != 1 and times != 1 for size, times in zip(given, repeats, strict=True)):
        return None
    sizes = [times if size == 1 else -1 for size, times in zip(given, repeats, strict=True)]
    return w(aten.expand.default, x, sizes)


def _view(w: Writer) -> fx.Node | None:
    """Copies in between are left out, so that the layout in memory may be any."""
    if w.node.target not in (aten.view.default, aten._unsafe_view.default):
        return None
    return w(aten.reshape.default, w.args["self"], w.args["size"])


def _view_as(w: Writer) -> fx.Node | None:
    if sum(isinstance(size, torch.SymInt) for size in w.shape) > 1:
        return None
    sizes = [-1 if isinstance(size, torch.SymInt) else int(size) for size in w.shape]
    return w(aten.reshape.default, w.args["self"], sizes)


def _one_batch(node: fx.Node) -> bool:
    return sum(isinstance(size, torch.SymInt) for size in node.meta["val"].shape) <= 1


def _build_view(e: Emitter, node: fx.Node, args: Arguments) -> None:
    if _one_batch(node):
        e.function(node, torch.reshape, (args["self"], e.shape(node)))
    else:
        e.same(node)


def _build_expand(e: Emitter, node: fx.Node, args: Arguments) -> None:
    """To the path's sizes; what is not repeated keeps its own."""
    source = args["self"]
    lacking = len(node.meta["val"].shape) - len(source.meta["val"].shape)
    shape: list[Any] = []
    for place, size in enumerate(node.meta["val"].shape):
        own = place - lacking
        if own >= 0 and hint(source.meta["val"].shape[own]) == hint(size):
            shape.append(-1)
        elif not isinstance(size, torch.SymInt):
            shape.append(e.size(e.structure.axes[node][place]))
        elif "size" in args:
            shape.append(args["size"][place])
        else:
            e.same(node)
            return
    e.function(node, torch.ops.aten.expand.default, (source, shape))


def _view_op(rule: Rule, rewrite: Rewrite | None = None, *, may_view: bool = False) -> Op:
    return Op(
        rule,
        Role.VIEW,
        build=_build_view,
        rewrite=rewrite,
        follows=_one_batch,
        may_view=may_view,
    )


SHAPES = {
    "view": _view_op(_reshape, _view),
    "_unsafe_view": _view_op(_reshape, _view),
    "reshape": _view_op(_reshape, may_view=True),
    "flatten": _view_op(_reshape, may_view=True),
    "unflatten": _view_op(_reshape, may_view=True),
    "squeeze": _view_op(_squeeze, may_view=True),
    "unsqueeze": _view_op(_unsqueeze),
    "view_as": Op(rewrite=_view_as, may_view=True),
    "reshape_as": Op(rewrite=_view_as, may_view=True),
    "permute": Op(_permute, follows=always),
    "transpose": Op(_transpose, follows=always),
    **dict.fromkeys(("t", "numpy_T", "swapaxes", "mT"), Op(_transpose)),
    "expand": Op(_expand, build=_build_expand),
    "expand_as": Op(_expand, build=_build_expand, may_view=True),
    "repeat": Op(_repeat, rewrite=_repeat_of_one),
    "repeat_interleave": Op(_repeat_interleave),
    "roll": Op(_roll),
    "flip": Op(_roll),
}
