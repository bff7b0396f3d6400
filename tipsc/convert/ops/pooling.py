"""Pooling, interpolation, padding: the places change, the channels pass."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes
from tipsc.convert.axes import fix_all
from tipsc.convert.emit import Emitter
from tipsc.convert.ops.record import (
    SPATIAL,
    Arguments,
    Op,
    Role,
    Rule,
    always,
    never,
    only_first_is_read,
    spatial_axes,
)
from tipsc.convert.program import bound, hint
from tipsc.convert.writer import Writer

aten = torch.ops.aten


def _windows(rank: int) -> Rule:
    """Pooling, interpolation: the last axes change, the others pass."""

    def rule(a: Analysis, node: fx.Node, args: Arguments) -> Any:
        x = a.of(args.get("self", args.get("input")))
        fix_all(x[-rank:], SPATIAL)
        value = node.meta["val"]
        if isinstance(value, Tensor):
            return [*x[:-rank], *spatial_axes(value, rank)]
        return [
            [*x[:-rank], *spatial_axes(item, rank)] for item in value
        ]  # maxima and their places

    return rule


def _pad(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    result = list(x)
    for place, size in enumerate(node.meta["val"].shape):
        low = 2 * (len(x) - 1 - place)
        if any(args["pad"][low : low + 2]):
            ax.fix(x[place], "padded")
            result[place] = ax.new_axis(hint(size), "padded")
    return result


_MAXIMA = {1: aten.max_pool1d.default, 2: aten.max_pool2d.default, 3: aten.max_pool3d.default}


def _average(w: Writer) -> fx.Node | None:
    """With a divisor of its own, which the export to ONNX does not know."""
    divisor = w.args["divisor_override"]
    if divisor is None:
        return None
    x, given = w.args["self"], w.args["self"].meta["val"].shape[-2:]
    kernel, padding = (_both(w.args[key]) for key in ("kernel_size", "padding"))
    stride = _both(w.args["stride"]) or kernel
    edges: list[int] = []
    for axis in (1, 0):  # the last axis first; up to where the last window ends
        last = (int(w.shape[axis - 2]) - 1) * stride[axis] + kernel[axis]
        edges += [padding[axis], max(0, last - int(given[axis]) - padding[axis])]
    if any(edges):
        x = w(aten.constant_pad_nd.default, x, edges)
    mean = w(aten.avg_pool2d.default, x, kernel, stride)
    return w(aten.mul.Tensor, mean, kernel[0] * kernel[1] / divisor)


def _both(values: Any) -> list[int]:
    values = [values] if isinstance(values, int) else list(values)
    return values * 2 if len(values) == 1 else values


def _adaptive_maximum(w: Writer) -> fx.Node | None:
    """The export to ONNX does not know it: over all places, in equal windows, or one by one."""
    if not only_first_is_read(w.node):
        return None
    x, given = w.args["self"], w.args["self"].meta["val"].shape
    wanted = list(w.args["output_size"])
    rank = len(wanted)
    if set(wanted) == {1}:
        return w(aten.amax.default, x, list(range(-rank, 0)), True)
    if any(isinstance(size, torch.SymInt) for size in given[-rank:]):
        return None
    sizes = [int(size) for size in given[-rank:]]
    if all(size % count == 0 for size, count in zip(sizes, wanted, strict=True)):
        windows = [size // count for size, count in zip(sizes, wanted, strict=True)]
        return w(_MAXIMA[rank], x, windows, windows)
    for axis, size, count in zip(range(-rank, 0), sizes, wanted, strict=True):
        borders = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        pieces = [w(aten.slice.Tensor, x, axis, low, high) for low, high in borders]
        x = w(aten.cat.default, [w(aten.amax.default, p, [axis], True) for p in pieces], axis)
    return x


def _regular(node: fx.Node) -> bool:
    return not bound(node)["ceil_mode"]


def _to_one_place(node: fx.Node) -> bool:
    return math.prod(bound(node)["output_size"]) == 1


def _build_resize(e: Emitter, node: fx.Node, args: Arguments) -> None:
    """By factors as it is; to a size, to that of the path's resolution."""
    if args.get("output_size") is None:
        e.same(node)
        return
    sizes = e.shape(node)[-len(args["output_size"]) :]
    filled = {name: sizes if name == "output_size" else value for name, value in args.items()}
    e.function(node, node.target, tuple(filled.values()))


def _resize_op(rank: int) -> Op:
    follows = always if rank == 2 else never
    return Op(_windows(rank), Role.RESIZE, build=_build_resize, follows=follows)


POOLING = {
    "max_pool1d": Op(_windows(1)),
    "max_pool2d": Op(_windows(2), follows=_regular),
    "max_pool3d": Op(_windows(3)),
    "avg_pool1d": Op(_windows(1)),
    "avg_pool2d": Op(_windows(2), rewrite=_average, follows=_regular),
    "avg_pool3d": Op(_windows(3)),
    "adaptive_avg_pool1d": Op(_windows(1), Role.POOL),
    "adaptive_avg_pool2d": Op(_windows(2), Role.POOL, follows=_to_one_place),
    "adaptive_avg_pool3d": Op(_windows(3), Role.POOL),
    **{f"adaptive_max_pool{r}d": Op(_windows(r), rewrite=_adaptive_maximum) for r in (1, 2, 3)},
    **{f"upsample_nearest{rank}d": _resize_op(rank) for rank in (1, 2, 3)},
    **{f"_upsample_nearest_exact{rank}d": _resize_op(rank) for rank in (1, 2, 3)},
    "upsample_linear1d": _resize_op(1),
    "upsample_bilinear2d": _resize_op(2),
    "upsample_bicubic2d": _resize_op(2),
    "upsample_trilinear3d": _resize_op(3),
    "pad": Op(_pad, follows=always),
    "constant_pad_nd": Op(_pad, follows=always),
}
