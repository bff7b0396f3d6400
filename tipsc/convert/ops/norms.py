"""Norms, with weights and without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, fx, nn

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes, NotUnderstood
from tipsc.convert.axes import Group
from tipsc.convert.emit import Emitter
from tipsc.convert.ops.layers import all_fixed, groups_of
from tipsc.convert.ops.record import (
    Arguments,
    Op,
    Role,
    always,
    fits_weights,
    nest,
    only_first_is_read,
    rank_of,
)
from tipsc.convert.program import Program, name_of
from tipsc.convert.writer import Writer
from tipsc.elastic import fitted
from tipsc.elastic.batch_norm import ElasticBatchNorm1d, ElasticBatchNorm2d, ElasticBatchNorm3d
from tipsc.elastic.dims import largest

aten = torch.ops.aten


_NORMS = {
    2: ElasticBatchNorm1d,
    3: ElasticBatchNorm1d,
    4: ElasticBatchNorm2d,
    5: ElasticBatchNorm3d,
}


def _batch_norm(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    if args["training"]:
        raise NotUnderstood("it has no running statistics")
    return _instance_norm(a, node, args)


def _instance_norm(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["input"])
    for key in ("weight", "bias", "running_mean", "running_var"):
        if args[key] is not None:
            ax.unify(x[1], a.of(args[key])[0])
    return x


def _layer_norm(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["input"])
    count = len(args["normalized_shape"])
    for key in ("weight", "bias"):
        if args.get(key) is not None:
            for axis, own in zip(x[-count:], a.of(args[key]), strict=True):
                ax.unify(axis, own)
    return x


def _group_norm(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["input"])
    groups = args["num_groups"]
    each = Group(ax.axis_size(x[1]) // groups, "normalised together")
    ax.unify(x[1], (nest(Group(groups), each),))
    for key in ("weight", "bias"):
        if args[key] is not None:
            ax.unify(x[1], a.of(args[key])[0])
        else:  # it stays a function, whose number of groups is a constant
            ax.fix(x[1], "normalised in groups, without weights")
    return x


# ---- modules


def _build_batch_norm(e: Emitter, node: fx.Node, args: Arguments) -> None:
    x = args["input"]
    channels = e.dims(x)[1]

    def make() -> tuple[nn.Module, nn.Module | None]:
        kind = _NORMS[rank_of(x)]
        norm = kind(channels, eps=args["eps"], momentum=args["momentum"])
        for name in ("weight", "bias"):
            value = e.tensor(args[name])
            if value is not None:
                norm.register_parameter(name, cast(nn.Parameter, value))
            else:
                getattr(norm, name).requires_grad_(False)  # the original has none
        norm.running_mean = cast(Tensor, e.tensor(args["running_mean"]))
        norm.running_var = cast(Tensor, e.tensor(args["running_var"]))
        return norm, None

    key = ("batch_norm", args["weight"], args["running_mean"], rank_of(x))
    if key not in e.known:
        norm, _ = make()
        e.known[key] = e.place_layer(node, norm)
    e.call(node, e.known[key], [x], "last")


def _build_layer_norm(e: Emitter, node: fx.Node, args: Arguments) -> None:
    weight, bias, x = args["weight"], args.get("bias"), args["input"]
    is_rms = name_of(node) == "rms_norm"
    eps = args["eps"]

    def make() -> tuple[nn.Module, nn.Module | None]:
        dims = {"weight": e.dims(weight)} | ({"bias": e.dims(bias)} if bias is not None else {})
        tensors = {"weight": e.tensor(weight), "bias": e.tensor(bias)}
        kind = fitted.FittedRMSNorm if is_rms else fitted.FittedLayerNorm
        plain: nn.Module | None = None
        if all_fixed(*dims.values()):
            sizes = list(weight.meta["val"].shape)
            plain = (
                nn.RMSNorm(sizes, eps=eps, device="meta")
                if is_rms
                else nn.LayerNorm(sizes, eps=eps, bias=bias is not None, device="meta")
            )
            if is_rms:
                tensors.pop("bias")
        return kind(dims["weight"], eps, tensors, dims), plain

    e.layer(node, (name_of(node), weight, bias, eps), make, x)


def _build_group_norm(e: Emitter, node: fx.Node, args: Arguments) -> None:
    weight, bias, x = args["weight"], args["bias"], args["input"]

    def make() -> tuple[nn.Module, nn.Module | None]:
        dims = {"weight": e.dims(weight), "bias": e.dims(bias)}
        tensors = {"weight": e.tensor(weight), "bias": e.tensor(bias)}
        groups = groups_of(e, x, args["num_groups"])
        channels = dims["weight"][0]
        plain = None
        if all_fixed(*dims.values()):
            plain = nn.GroupNorm(
                args["num_groups"], largest(channels), eps=args["eps"], device="meta"
            )
        return fitted.FittedGroupNorm(groups, channels, args["eps"], tensors, dims), plain

    e.layer(node, ("group_norm", weight, bias, args["num_groups"]), make, x)


# ---- in other words


def _ones(w: Writer, key: str, shape: Sequence[int], value: float) -> fx.Node:
    like = w.args["input"].meta["val"]
    return w.tensor(key, torch.full(tuple(shape), value, dtype=like.dtype, device=like.device))


def _rewrite_layer_norm(w: Writer) -> fx.Node | None:
    """Without weights: with a constant one, so that it can be cut like any other."""
    sizes, target = w.args["normalized_shape"], w.node.target
    if w.args["weight"] is not None or not all(isinstance(size, int) for size in sizes):
        return None
    weight = _ones(w, "weight", sizes, 1.0)
    if name_of(w.node) == "rms_norm":
        return w(target, w.args["input"], sizes, weight, w.args["eps"])
    return w(target, w.args["input"], sizes, weight, w.args["bias"], w.args["eps"])


def _rewrite_group_norm(w: Writer) -> fx.Node | None:
    weight, bias, x = w.args["weight"], w.args["bias"], w.args["input"]
    if weight is not None and bias is not None:
        return None
    return _by_groups(w, x, w.args["num_groups"], weight, bias, w.args["eps"])


def _rewrite_instance_norm(w: Writer) -> fx.Node | None:
    """A batch norm, where it has statistics; else one group for each channel."""
    x, weight, bias = (w.args[key] for key in ("input", "weight", "bias"))
    if not w.args["use_input_stats"]:
        rest = (w.args["running_mean"], w.args["running_var"], False)
        numbers = (w.args["momentum"], w.args["eps"], False)
        return w(aten.batch_norm.default, x, weight, bias, *rest, *numbers)
    return _by_groups(w, x, int(w.shape[1]), weight, bias, w.args["eps"])


def _by_groups(
    w: Writer, x: fx.Node, groups: int, weight: fx.Node | None, bias: fx.Node | None, eps: float
) -> fx.Node:
    channels = [int(w.shape[1])]
    weight = _ones(w, "weight", channels, 1.0) if weight is None else weight
    bias = _ones(w, "bias", channels, 0.0) if bias is None else bias
    return w(aten.group_norm.default, x, groups, weight, bias, eps)


def _rewrite_native_batch_norm(w: Writer) -> fx.Node | None:
    if not only_first_is_read(w.node):
        return None
    tensors = [w.args[key] for key in ("input", "weight", "bias", "running_mean", "running_var")]
    return w(aten.batch_norm.default, *tensors, False, w.args["momentum"], w.args["eps"], False)


def _fits(program: Program, args: Arguments) -> bool:
    return fits_weights(program, args) and rank_of(args["input"]) >= 2


def _group_norm_fits(program: Program, args: Arguments) -> bool:
    return _fits(program, args) and args["bias"] is not None


def _batch_norm_fits(program: Program, args: Arguments) -> bool:
    return not args["training"] and args["running_mean"] in program.tensors


def _layer_norm_op() -> Op:
    return Op(
        _layer_norm,
        Role.NORM,
        build=_build_layer_norm,
        is_layer=_fits,
        rewrite=_rewrite_layer_norm,
        follows=always,
    )


NORMS = {
    "batch_norm": Op(
        _batch_norm,
        Role.NORM,
        build=_build_batch_norm,
        is_layer=_batch_norm_fits,
        follows=always,
    ),
    "layer_norm": _layer_norm_op(),
    "rms_norm": _layer_norm_op(),
    "group_norm": Op(
        _group_norm,
        Role.NORM,
        build=_build_group_norm,
        is_layer=_group_norm_fits,
        rewrite=_rewrite_group_norm,
        follows=always,
    ),
    "instance_norm": Op(_instance_norm, Role.NORM, rewrite=_rewrite_instance_norm),
    "_native_batch_norm_legit_no_training": Op(role=Role.NORM, rewrite=_rewrite_native_batch_norm),
}
