"""Parts of tensors: joined, split, taken by place, written."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes, NotUnderstood
from tipsc.convert.axes import fix_all
from tipsc.convert.emit import Emitter
from tipsc.convert.functions import Function, LookUp, Slot
from tipsc.convert.ops.record import (
    Arguments,
    Op,
    Role,
    always,
    never,
    rank_of,
)
from tipsc.convert.program import hint, name_of
from tipsc.convert.units import axis_size, pieces
from tipsc.convert.writer import Writer

aten = torch.ops.aten
_END = 1 << 62  # slices that go to the end say a number like this


def _concatenate(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    parts = [a.of(t) for t in args["tensors"]]
    rank = len(node.meta["val"].shape)
    axis = args["dim"] % rank
    result: Axes = []
    for place in range(rank):
        if place == axis:
            result.append(tuple(term for p in parts for term in p[place]))
            continue
        for other in parts[1:]:
            ax.unify(parts[0][place], other[place])
        result.append(parts[0][place])
    return result


def _stack(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    parts = [a.of(t) for t in args["tensors"]]
    axis = args["dim"] % (len(parts[0]) + 1)
    for other in parts[1:]:
        for one, two in zip(parts[0], other, strict=True):
            ax.unify(one, two)
    parts[0].insert(axis, ax.new_axis(len(parts), "pieces of a stack"))
    return parts[0]


def _split(a: Analysis, node: fx.Node, args: Arguments) -> list[Axes]:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    pieces = [ax.new_axis(hint(item.shape[axis])) for item in node.meta["val"]]
    ax.unify(x[axis], tuple(term for piece in pieces for term in piece))
    return [[*x[:axis], piece, *x[axis + 1 :]] for piece in pieces]


def _glu(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    half = ax.new_axis(ax.axis_size(x[axis]) // 2)
    ax.unify(x[axis], half + half)
    x[axis] = half
    return x


def _index(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    chosen = [(place, i) for place, i in enumerate(args["indices"]) if i is not None]
    if len(chosen) != 1 or chosen[0][1].meta["val"].dtype == torch.bool:
        raise NotUnderstood("several indices")
    place, index = chosen[0]
    ax.fix(x[place], "looked up by index")
    fix_all(a.of(index), "indices")
    return x[:place] + a.of(index) + x[place + 1 :]


def _unbind(a: Analysis, node: fx.Node, args: Arguments) -> list[Axes]:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    ax.fix(x[axis], "taken apart one by one")
    return [x[:axis] + x[axis + 1 :] for _ in node.meta["val"]]


def _slice(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    size, kept = ax.axis_size(x[axis]), hint(node.meta["val"].shape[axis])
    if size == kept and args["step"] == 1:
        return x
    if args["step"] != 1:
        ax.fix(x[axis], "every n-th is taken")
        x[axis] = ax.new_axis(kept, "every n-th is taken")
        return x
    pieces = [ax.new_axis(s) if s else () for s in _around(size, args["start"] or 0, kept)]
    ax.unify(x[axis], tuple(term for piece in pieces for term in piece))
    x[axis] = pieces[1]
    return x


def _around(size: int, start: int, kept: int) -> tuple[int, int, int]:
    """How many places lie before a slice of an axis, in it and after it."""
    start = max(0, min(size, start + size if start < 0 else start))
    return start, kept, size - start - kept


def _select(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    ax.fix(x[axis], "one of them is taken")
    return x[:axis] + x[axis + 1 :]


# ---- in other words


def _rewrite_slice(w: Writer) -> fx.Node | None:
    """Of all there is."""
    start, end = w.args["start"] or 0, w.args["end"]
    whole = start == 0 and w.args["step"] == 1 and (end is None or isinstance(end, int))
    return w.args["self"] if whole and (end is None or end >= _END) else None


def _rewrite_index(w: Writer) -> fx.Node | None:
    """By numbers one after the other, such as ``x[:, [-1]]``: a slice."""
    chosen = [(axis, index) for axis, index in enumerate(w.args["indices"]) if index is not None]
    if len(chosen) != 1:
        return None
    axis, index = chosen[0]
    while name_of(index) in ("lift_fresh_copy", "clone", "detach", "alias"):
        index = index.all_input_nodes[0]
    known = w.program.values.get(w.program.tensors.get(index, ""))
    size = w.args["self"].meta["val"].shape[axis]
    if known is None or known.dtype != torch.int64 or known.dim() != 1 or not len(known):
        return None
    if isinstance(size, torch.SymInt):
        return None
    places = [place % int(size) for place in known.tolist()]
    if places != list(range(places[0], places[0] + len(places))):
        return None
    return w(aten.slice.Tensor, w.args["self"], axis, places[0], places[-1] + 1)


def _slice_scatter(w: Writer) -> fx.Node | None:
    axis = w.args["dim"] % len(w.shape)
    start, end = w.args["start"] or 0, w.args["end"]
    return _with_part(w, w.args["src"], axis, start, _END if end is None else end)


def _select_scatter(w: Writer) -> fx.Node | None:
    axis, index = w.args["dim"] % len(w.shape), w.args["index"]
    if isinstance(w.shape[axis], torch.SymInt) or not isinstance(index, int):
        return None
    start = index % int(w.shape[axis])
    return _with_part(w, w(aten.unsqueeze.default, w.args["src"], axis), axis, start, start + 1)


def _with_part(w: Writer, part: fx.Node, axis: int, start: Any, end: Any) -> fx.Node | None:
    """A tensor in which a range of an axis is replaced: what is before, the part, and the rest."""
    if not isinstance(start, int) or not isinstance(end, int) or w.args.get("step", 1) != 1:
        return None
    if isinstance(w.shape[axis], torch.SymInt):
        return part if start == 0 and end >= _END else None
    size = int(w.shape[axis])
    start, end, _ = slice(start, end).indices(size)
    pieces = [part]
    if start > 0:
        pieces.insert(0, w(aten.slice.Tensor, w.args["self"], axis, 0, start))
    if end < size:
        pieces.append(w(aten.slice.Tensor, w.args["self"], axis, end, size))
    return w(aten.cat.default, pieces, axis) if len(pieces) > 1 else part


def _index_put(w: Writer) -> fx.Node | None:
    """One number written where a mask is set."""
    x, (mask, *others), value = w.args["self"], w.args["indices"], w.args["values"]
    if others or w.args["accumulate"] or mask is None or mask.meta["val"].dtype != torch.bool:
        return None
    if value.meta["val"].numel() != 1 or value.meta["val"].dim() > 1:
        return None
    for axis in range(mask.meta["val"].dim(), x.meta["val"].dim()):
        mask = w(aten.unsqueeze.default, mask, axis)
    return w(aten.where.self, mask, value, x)


# ---- functions of the path's sizes --------------------------------------------------------------


def _build_split(e: Emitter, node: fx.Node, args: Arguments) -> None:
    axis = args["dim"] % rank_of(args["self"])
    if isinstance(args["self"].meta["val"].shape[axis], torch.SymInt):
        e.same(node)
        return
    sizes = [e.size(axes[axis]) for axes in e.structure.several[node]]
    e.function(node, torch.split, (args["self"], sizes, axis))


def _build_slice(e: Emitter, node: fx.Node, args: Arguments) -> None:
    """Of an axis that depends on the path: a split, of which one piece is taken."""
    source = args["self"]
    axis = args["dim"] % len(e.structure.axes[source])
    whole, size = e.structure.axes[source][axis], hint(node.meta["val"].shape[axis])
    if isinstance(e.sizes.dim(whole), int):
        e.same(node)
        return
    parts = pieces(whole, _around(axis_size(whole), args["start"] or 0, size))
    kept = [i for i, part in enumerate(parts) if part]
    if len(kept) == 1:
        e.numbers[node] = e.value(source)
        return
    split = Function(torch.split, (Slot(0), [e.size(parts[i]) for i in kept], axis), {})
    number = e.step(node, "slice", split, (e.value(source),))
    pick = Function(operator.getitem, (Slot(0), kept.index(1)), {})
    e.numbers[node] = e.step(node, "piece", pick, (number,))


def _build_index(e: Emitter, node: fx.Node, args: Arguments) -> None:
    """Of one axis by places from its beginning: a gather."""
    chosen = [(place, i) for place, i in enumerate(args["indices"]) if i is not None]
    if len(chosen) != 1 or chosen[0][1].meta["val"].dtype != torch.int64:
        e.same(node)
        return
    axis, index = chosen[0]
    known = e.program.values.get(e.program.tensors.get(index, ""))
    rank = index.meta["val"].dim()
    batches = sum(isinstance(size, torch.SymInt) for size in node.meta["val"].shape)
    if known is not None and bool((known < 0).any()):
        e.same(node)
    elif rank > 1 and batches <= 1:
        e.module(node, "index", LookUp(axis, e.shape(node)), [args["self"], index])
    elif rank == 1:
        e.function(node, torch.index_select, (args["self"], axis, index))
    else:
        e.same(node)


def _split_op(*, follows: bool = True, may_view: bool = False) -> Op:
    return Op(
        _split,
        Role.SPLIT,
        build=_build_split,
        follows=always if follows else never,
        may_view=may_view,
    )


PARTS = {
    "cat": Op(_concatenate, follows=always),
    "concat": Op(_concatenate),
    "stack": Op(_stack),
    "split": _split_op(may_view=True),
    "split_with_sizes": _split_op(),
    "chunk": _split_op(may_view=True),
    "tensor_split": _split_op(follows=False, may_view=True),
    "unbind": Op(_unbind, may_view=True),
    "slice": Op(_slice, Role.CUT, build=_build_slice, rewrite=_rewrite_slice),
    "narrow": Op(may_view=True),
    "getitem": Op(role=Role.CUT, follows=always),
    "select": Op(_select, Role.PICK),
    "glu": Op(_glu),
    "index": Op(_index, build=_build_index, rewrite=_rewrite_index),
    "slice_scatter": Op(rewrite=_slice_scatter),
    "select_scatter": Op(rewrite=_select_scatter),
    "index_put": Op(rewrite=_index_put),
}
