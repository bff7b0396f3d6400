"""Rules of layers with weights or windows: convolution, linear, norms, pooling, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx

from tipsc.elastic.conversion import axes as ax
from tipsc.elastic.conversion.analysis import (
    SPATIAL,
    Analysis,
    Axes,
    NotUnderstood,
    Rule,
    fix_all,
    spatial_axes,
)
from tipsc.elastic.conversion.axes import Group
from tipsc.elastic.conversion.capture import hint


def _convolution(rank: int, *, transposed: bool) -> Rule:
    def rule(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
        x, weight = a.of(args["input"]), a.of(args["weight"])
        if len(x) != rank + 2:
            raise NotUnderstood("its input has no batch axis")
        if args["weight"] not in a.program.tensors:
            raise NotUnderstood("its weight is computed")
        places = x[2:]
        if not _place_by_place(places, weight[2:], node, args["stride"]):
            fix_all(x[2:], SPATIAL)
            places = spatial_axes(node.meta["val"], rank)
        fix_all(weight[2:], "the kernel")
        groups = args["groups"]
        first, second = weight[0], weight[1]
        entering, leaving = (first, second) if transposed else (second, first)
        if groups == 1:
            ax.unify(x[1], entering)
            out = leaving
        else:
            g, each = Group(groups), ax.axis_size(x[1]) // groups
            into = (_nest(g, Group(each)),)
            ax.unify(x[1], into)
            outputs = hint(node.meta["val"].shape[1])
            out = (_nest(g, Group(outputs // groups)),)
            if transposed:
                ax.unify(first, into)
                ax.unify(second, (out[0][1:],))
            else:
                ax.unify(first, out)
                ax.unify(second, (into[0][1:],))
        if args["bias"] is not None:
            ax.unify(a.of(args["bias"])[0], out)
        return [x[0], out, *places]

    return rule


def _place_by_place(places: Axes, kernel: Axes, node: fx.Node, stride: Sequence[int]) -> bool:
    """Whether a convolution sees one place at a time, so that any places can be left out."""
    return (
        all(ax.axis_size(axis) == 1 for axis in kernel)
        and set(stride) == {1}
        # no padding, given in whatever way
        and [ax.axis_size(axis) for axis in places] == [hint(s) for s in node.meta["val"].shape[2:]]
    )


def _nest(outer: Group, inner: Group) -> ax.Term:
    return (outer, inner) if inner.size != 1 else (outer,)


def _linear(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x, weight = a.of(args["input"]), a.of(args["weight"])
    if args["weight"] not in a.program.tensors:
        raise NotUnderstood("its weight is computed")
    ax.unify(x[-1], weight[1])
    if args["bias"] is not None:
        ax.unify(a.of(args["bias"])[0], weight[0])
    return [*x[:-1], weight[0]]


def _batch_norm(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    if args["training"]:
        raise NotUnderstood("it has no running statistics")
    return _instance_norm(a, node, args)


def _instance_norm(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["input"])
    for key in ("weight", "bias", "running_mean", "running_var"):
        if args[key] is not None:
            ax.unify(x[1], a.of(args[key])[0])
    return x


def _layer_norm(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["input"])
    count = len(args["normalized_shape"])
    for key in ("weight", "bias"):
        if args.get(key) is not None:
            for axis, own in zip(x[-count:], a.of(args[key]), strict=True):
                ax.unify(axis, own)
    for axis in x[-count:]:
        ax.mix(axis)
    return x


def _group_norm(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["input"])
    groups = args["num_groups"]
    each = Group(ax.axis_size(x[1]) // groups, "normalised together")
    ax.unify(x[1], (_nest(Group(groups), each),))
    for key in ("weight", "bias"):
        if args[key] is not None:
            ax.unify(x[1], a.of(args[key])[0])
        else:  # it stays a function, whose number of groups is a constant
            ax.fix(x[1], "normalised in groups, without weights")
    return x


def _embedding(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    weight = a.of(args["weight"])
    ax.fix(weight[0], "the vocabulary")
    return [*a.of(args["indices"]), weight[1]]


def _prelu(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x, weight = a.of(args["self"]), a.of(args["weight"])
    if len(weight) and ax.axis_size(weight[0]) != 1:
        ax.unify(x[1], weight[0])
    return x


def _windows(rank: int) -> Rule:
    """Pooling, interpolation: the last axes change, the others pass."""

    def rule(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Any:
        x = a.of(args.get("self", args.get("input")))
        fix_all(x[-rank:], SPATIAL)
        value = node.meta["val"]
        if isinstance(value, Tensor):
            return [*x[:-rank], *spatial_axes(value, rank)]
        return [
            [*x[:-rank], *spatial_axes(item, rank)] for item in value
        ]  # maxima and their places

    return rule


def _pad(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    result = list(x)
    for place, size in enumerate(node.meta["val"].shape):
        low = 2 * (len(x) - 1 - place)
        if any(args["pad"][low : low + 2]):
            ax.fix(x[place], "padded")
            result[place] = ax.new_axis(hint(size), "padded")
    return result


LAYERS: dict[str, Rule] = {
    **{f"conv{r}d": _convolution(r, transposed=False) for r in (1, 2, 3)},
    **{f"conv_transpose{r}d": _convolution(r, transposed=True) for r in (1, 2, 3)},
    "linear": _linear,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "group_norm": _group_norm,
    "embedding": _embedding,
    "prelu": _prelu,
    **{
        f"{kind}_pool{r}d": _windows(r)
        for kind in ("max", "avg", "adaptive_avg", "adaptive_max", "lp")
        for r in (1, 2, 3)
    },
    **{f"upsample_nearest{r}d": _windows(r) for r in (1, 2, 3)},
    **{f"_upsample_nearest_exact{r}d": _windows(r) for r in (1, 2, 3)},
    "upsample_linear1d": _windows(1),
    "upsample_bilinear2d": _windows(2),
    "upsample_bicubic2d": _windows(2),
    "upsample_trilinear3d": _windows(3),
    "pad": _pad,
    "constant_pad_nd": _pad,
}
