"""Layers with weights: convolution, linear, embedding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import fx, nn

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes, NotUnderstood
from tipsc.convert.axes import Group, fix_all
from tipsc.convert.emit import Emitter
from tipsc.convert.ops.record import (
    SPATIAL,
    Arguments,
    Op,
    Role,
    Rule,
    always,
    fits_weights,
    nest,
    never,
    only_first_is_read,
    rank_of,
    spatial_axes,
)
from tipsc.convert.program import Program, bound, hint, name_of
from tipsc.convert.units import Axis, axis_size
from tipsc.convert.writer import Writer
from tipsc.elastic import fitted
from tipsc.elastic.dims import Dim, largest
from tipsc.elastic.operations import LAYERS as TORCH_LAYERS

aten = torch.ops.aten


_CONV = {name: layer for layer, name in TORCH_LAYERS.items() if name.startswith("conv")}


# ---- axes


def _convolution(rank: int, *, transposed: bool) -> Rule:
    def rule(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
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
            into = (nest(g, Group(each)),)
            ax.unify(x[1], into)
            outputs = hint(node.meta["val"].shape[1])
            out = (nest(g, Group(outputs // groups)),)
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


def _linear(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x, weight = a.of(args["input"]), a.of(args["weight"])
    if args["weight"] not in a.program.tensors:
        raise NotUnderstood("its weight is computed")
    ax.unify(x[-1], weight[1])
    if args["bias"] is not None:
        ax.unify(a.of(args["bias"])[0], weight[0])
    return [*x[:-1], weight[0]]


def _embedding(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    weight = a.of(args["weight"])
    ax.fix(weight[0], "the vocabulary")
    return [*a.of(args["indices"]), weight[1]]


# ---- modules


def all_fixed(*dims: Iterable[Dim]) -> bool:
    return all(isinstance(dim, int) for group in dims for dim in group)


def _build_convolution(e: Emitter, node: fx.Node, args: Arguments) -> None:
    kind = _CONV[name_of(node)]
    weight, bias, x = args["weight"], args["bias"], args["input"]
    transposed = "transpose" in name_of(node)
    settings = {
        key: args[key] if isinstance(args[key], str) else tuple(args[key])
        for key in ("stride", "padding", "dilation")
    }
    if transposed:
        settings["output_padding"] = tuple(args["output_padding"])
    rank = len(node.meta["val"].shape) - 2
    settings = {
        k: v * rank if isinstance(v, tuple) and len(v) == 1 else v for k, v in settings.items()
    }

    def make() -> tuple[nn.Module, nn.Module | None]:
        tensors = {"weight": e.tensor(weight), "bias": e.tensor(bias)}
        dims = {"weight": e.dims(weight)}
        if bias is not None:
            dims["bias"] = e.dims(bias)
        inputs, outputs = e.dims(x)[1], e.dims(node)[1]
        groups: Dim = args["groups"]
        if groups != 1:
            # The outermost factor of the channels that enter is the number of groups.
            groups = groups_of(e, x, args["groups"])
        kernel = e.sizes.kernels.get(weight)
        layer = fitted.FittedConv(kind, inputs, outputs, groups, settings, tensors, dims, kernel)
        plain = None
        if all_fixed(*dims.values()) and isinstance(groups, int) and kernel is None:
            plain = kind(
                inputs, outputs, tuple(weight.meta["val"].shape[2:]), groups=groups,
                bias=bias is not None, device="meta", **settings,
            )  # fmt: skip
        return layer, plain

    key = (name_of(node), weight, bias, str(settings), args["groups"])
    e.layer(node, key, make, x)


def groups_of(e: Emitter, x: fx.Node, groups: int) -> Dim:
    """How many groups a path has: the channels without what is inside a group."""
    axis = e.structure.axes[x][1]
    each = axis_size(axis) // groups
    outer: Axis = ()
    for term in axis:
        inner, kept = 1, list(term)
        while kept and inner < each:
            inner *= kept.pop().size
        if inner != each:
            return groups
        outer += (tuple(kept),)
    return e.sizes.dim(outer)


def _build_linear(e: Emitter, node: fx.Node, args: Arguments) -> None:
    weight, bias, x = args["weight"], args["bias"], args["input"]

    def make() -> tuple[nn.Module, nn.Module | None]:
        dims = {"weight": e.dims(weight)} | ({"bias": e.dims(bias)} if bias is not None else {})
        tensors = {"weight": e.tensor(weight), "bias": e.tensor(bias)}
        outputs, inputs = dims["weight"]
        plain = None
        if all_fixed(*dims.values()):
            plain = nn.Linear(
                largest(inputs), largest(outputs), bias=bias is not None, device="meta"
            )
        return fitted.FittedLinear(inputs, outputs, tensors, dims), plain

    e.layer(node, ("linear", weight, bias), make, x)


def _build_embedding(e: Emitter, node: fx.Node, args: Arguments) -> None:
    weight = args["weight"]
    padding = args["padding_idx"] if args["padding_idx"] >= 0 else None

    def make() -> tuple[nn.Module, nn.Module | None]:
        dims = {"weight": e.dims(weight)}
        tensors = {"weight": e.tensor(weight)}
        plain = None
        if all_fixed(*dims.values()):
            count, size = weight.meta["val"].shape
            plain = nn.Embedding(count, size, padding_idx=padding, device="meta")
        return fitted.FittedEmbedding(dims["weight"][1], padding, tensors, dims), plain

    e.layer(node, ("embedding", weight, padding), make, args["indices"])


# ---- in other words


def computed_linear(w: Writer) -> fx.Node | None:
    """A linear layer whose weight depends on the input, or is read by others as it is."""
    weight, bias = w.args["weight"], w.args["bias"]
    if weight in w.program.tensors:
        return None
    product = w(aten.matmul.default, w.args["input"], w(aten.transpose.int, weight, -1, -2))
    return product if bias is None else w(aten.add.Tensor, product, bias)


def _embedding_bag(w: Writer) -> fx.Node | None:
    """Bags of one size, (N, n): vectors of tokens, and their mean, sum or maximum."""
    flat, offsets, weight = w.args["indices"], w.args["offsets"], w.args["weight"]
    if not only_first_is_read(w.node) or w.args["per_sample_weights"] is not None:
        return None
    if name_of(flat) not in ("reshape", "view", "flatten") or (w.args["padding_idx"] or -1) >= 0:
        return None
    bags = flat.all_input_nodes[0]
    step = bound(offsets).get("step", 1) if name_of(offsets) == "arange" else None
    if bags.meta["val"].dim() != 2 or bags.meta["val"].shape[1] != step:
        return None
    vectors = w(aten.embedding.default, weight, bags)
    reduce = {0: aten.sum.dim_IntList, 1: aten.mean.dim, 2: aten.amax.default}[w.args["mode"]]
    return w(reduce, vectors, [1])


def _convolution_fits(program: Program, args: Arguments) -> bool:
    return fits_weights(program, args) and rank_of(args["input"]) == rank_of(args["weight"])


def _linear_fits(program: Program, args: Arguments) -> bool:
    return fits_weights(program, args) and rank_of(args["input"]) >= 2


def _convolution_op(rank: int, *, transposed: bool) -> Op:
    return Op(
        _convolution(rank, transposed=transposed),
        Role.LAYER,
        build=_build_convolution,
        is_layer=_convolution_fits,
        follows=always if rank == 2 else never,
    )


LAYERS = {
    **{f"conv{rank}d": _convolution_op(rank, transposed=False) for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": _convolution_op(rank, transposed=True) for rank in (1, 2, 3)},
    "linear": Op(
        _linear,
        Role.LAYER,
        build=_build_linear,
        is_layer=_linear_fits,
        rewrite=computed_linear,
        follows=always,
    ),
    "embedding": Op(_embedding, Role.LOOKUP, build=_build_embedding, is_layer=fits_weights),
    "embedding_bag": Op(role=Role.LOOKUP, rewrite=_embedding_bag),
    "_embedding_bag": Op(role=Role.LOOKUP, rewrite=_embedding_bag),
}
