"""Rules of operators that join, split, reorder, reshape and repeat axes."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from tipsc.elastic.conversion import axes as ax
from tipsc.elastic.conversion.analysis import Analysis, Axes, NotUnderstood, Rule, fix_all
from tipsc.elastic.conversion.axes import Axis, Group
from tipsc.elastic.conversion.capture import hint, name_of

SPLITS = ("split", "split_with_sizes", "chunk", "tensor_split")
CUTS = (*SPLITS, "slice", "getitem")  # give a part of what they read


def _concatenate(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
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


def _stack(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    parts = [a.of(t) for t in args["tensors"]]
    axis = args["dim"] % (len(parts[0]) + 1)
    for other in parts[1:]:
        for one, two in zip(parts[0], other, strict=True):
            ax.unify(one, two)
    parts[0].insert(axis, ax.new_axis(len(parts), "pieces of a stack"))
    return parts[0]


def _split(a: Analysis, node: fx.Node, args: dict[str, Any]) -> list[Axes]:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    pieces = [ax.new_axis(hint(item.shape[axis])) for item in node.meta["val"]]
    ax.unify(x[axis], tuple(term for piece in pieces for term in piece))
    return [[*x[:axis], piece, *x[axis + 1 :]] for piece in pieces]


def _glu(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    half = ax.new_axis(ax.axis_size(x[axis]) // 2)
    ax.unify(x[axis], half + half)
    x[axis] = half
    return x


def _index(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    chosen = [(place, i) for place, i in enumerate(args["indices"]) if i is not None]
    if len(chosen) != 1 or chosen[0][1].meta["val"].dtype == torch.bool:
        raise NotUnderstood("several indices")
    place, index = chosen[0]
    ax.fix(x[place], "looked up by index")
    fix_all(a.of(index), "indices")
    return x[:place] + a.of(index) + x[place + 1 :]


def _roll(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    for place in args.get("dims") or range(len(x)):
        ax.fix(x[place], "rolled or flipped")
    return x


def _unbind(a: Analysis, node: fx.Node, args: dict[str, Any]) -> list[Axes]:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    ax.fix(x[axis], "taken apart one by one")
    return [x[:axis] + x[axis + 1 :] for _ in node.meta["val"]]


def _slice(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    size, kept = ax.axis_size(x[axis]), hint(node.meta["val"].shape[axis])
    if size == kept and args["step"] == 1:
        return x
    if args["step"] != 1:
        ax.fix(x[axis], "every n-th is taken")
        x[axis] = ax.new_axis(kept, "every n-th is taken")
        return x
    x[axis] = around_slice(x[axis], args["start"] or 0, kept)[1]
    return x


def around_slice(axis: Axis, start: int, kept: int) -> list[Axis]:
    """What lies before a slice of an axis, in it and after it."""
    size = ax.axis_size(axis)
    start = max(0, min(size, start + size if start < 0 else start))
    pieces = [ax.new_axis(s) if s else () for s in (start, kept, size - start - kept)]
    ax.unify(axis, tuple(term for piece in pieces for term in piece))
    return pieces


def _select(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    ax.fix(x[axis], "one of them is taken")
    return x[:axis] + x[axis + 1 :]


def _permute(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    return [x[place] for place in args["dims"]]


def _transpose(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    first, second = args.get("dim0", 0), args.get("dim1", 1)
    if name_of(node) in ("t", "numpy_T", "mT") and len(x) < 2:
        return x
    if name_of(node) == "mT":
        first, second = -2, -1
    x[first], x[second] = x[second], x[first]
    return x


def _unsqueeze(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    x.insert(args["dim"] % (len(x) + 1), ((),))
    return x


def _squeeze(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    dims = args.get("dim", list(range(len(x))))
    places = {d % len(x) for d in ([dims] if isinstance(dims, int) else dims)}
    return [axis for i, axis in enumerate(x) if i not in places or ax.axis_size(axis) != 1]


def _reshape(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    return ax.reshape(a.of(args["self"]), [hint(s) for s in node.meta["val"].shape])


def _expand(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    shape = [hint(s) for s in node.meta["val"].shape]
    x = [((),)] * (len(shape) - len(x)) + x
    return [
        axis if ax.axis_size(axis) == size else ax.new_axis(size, "repeated")
        for axis, size in zip(x, shape, strict=True)
    ]


def _repeat(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
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


def _repeat_interleave(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x, copies = a.of(args["self"]), args["repeats"]
    if not isinstance(copies, int) or args["dim"] is None or args["output_size"] is not None:
        raise NotUnderstood("another number of copies of each, or of a flattened tensor")
    axis = args["dim"] % len(x)
    if copies > 1:
        x[axis] = tuple((*term, Group(copies, "repeated")) for term in x[axis])
    return x


SHAPES: dict[str, Rule] = {
    "cat": _concatenate,
    "concat": _concatenate,
    "stack": _stack,
    **dict.fromkeys(SPLITS, _split),
    "unbind": _unbind,
    "slice": _slice,
    "select": _select,
    "permute": _permute,
    **dict.fromkeys(("transpose", "t", "swapaxes", "mT"), _transpose),
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "_unsafe_view"), _reshape),
    "expand": _expand,
    "expand_as": _expand,
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "glu": _glu,
    "index": _index,
    "roll": _roll,
    "flip": _roll,
}
