"""The elastic layers of a program: each with the weights and the axes that the analysis found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, fx, nn

from tipsc.elastic import fitted
from tipsc.elastic.batch_norm import ElasticBatchNorm1d, ElasticBatchNorm2d, ElasticBatchNorm3d
from tipsc.elastic.conversion import axes as ax
from tipsc.elastic.conversion.capture import name_of
from tipsc.elastic.dims import Dim, largest

if TYPE_CHECKING:  # the assembly calls what is here
    from tipsc.elastic.conversion.assemble import Assembly

_CONV = {
    **{f"conv{r}d": getattr(nn, f"Conv{r}d") for r in (1, 2, 3)},
    **{f"conv_transpose{r}d": getattr(nn, f"ConvTranspose{r}d") for r in (1, 2, 3)},
}
_NORMS = {
    2: ElasticBatchNorm1d,
    3: ElasticBatchNorm1d,
    4: ElasticBatchNorm2d,
    5: ElasticBatchNorm3d,
}


def _all_fixed(*dims: Iterable[Dim]) -> bool:
    return all(isinstance(dim, int) for group in dims for dim in group)


def _convolution(a: Assembly, node: fx.Node, args: Mapping[str, Any]) -> None:
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
        tensors = {"weight": a.tensor(weight), "bias": a.tensor(bias)}
        dims = {"weight": a.dims(weight)}
        if bias is not None:
            dims["bias"] = a.dims(bias)
        inputs, outputs = a.dims(x)[1], a.dims(node)[1]
        groups: Dim = args["groups"]
        if groups != 1:
            # The outermost factor of the channels that enter is the number of groups.
            groups = _groups_of(a, x, args["groups"])
        layer = fitted.FittedConv(kind, inputs, outputs, groups, settings, tensors, dims)
        plain = None
        if _all_fixed(*dims.values()) and isinstance(groups, int):
            plain = kind(
                inputs, outputs, tuple(weight.meta["val"].shape[2:]), groups=groups,
                bias=bias is not None, device="meta", **settings,
            )  # fmt: skip
        return layer, plain

    key = (name_of(node), weight, bias, str(settings), args["groups"])
    a.layer(node, key, make, x)


def _groups_of(a: Assembly, x: fx.Node, groups: int) -> Dim:
    """How many groups a path has: the channels without what is inside a group."""
    axis = ax.settled(a.analysis.axes[x][1])
    each = ax.axis_size(axis) // groups
    outer: ax.Axis = ()
    for term in axis:
        inner, kept = 1, list(term)
        while kept and inner < each:
            inner *= kept.pop().size
        if inner != each:
            return groups
        outer += (tuple(kept),)
    return a.plan.dim(outer)


def _linear(a: Assembly, node: fx.Node, args: Mapping[str, Any]) -> None:
    weight, bias, x = args["weight"], args["bias"], args["input"]

    def make() -> tuple[nn.Module, nn.Module | None]:
        dims = {"weight": a.dims(weight)} | ({"bias": a.dims(bias)} if bias is not None else {})
        tensors = {"weight": a.tensor(weight), "bias": a.tensor(bias)}
        outputs, inputs = dims["weight"]
        plain = None
        if _all_fixed(*dims.values()):
            plain = nn.Linear(
                largest(inputs), largest(outputs), bias=bias is not None, device="meta"
            )
        return fitted.FittedLinear(inputs, outputs, tensors, dims), plain

    a.layer(node, ("linear", weight, bias), make, x)


def _batch_norm(a: Assembly, node: fx.Node, args: Mapping[str, Any]) -> None:
    x = args["input"]
    channels = a.dims(x)[1]

    def make() -> tuple[nn.Module, nn.Module | None]:
        kind = _NORMS[len(a.analysis.axes[x])]
        norm = kind(channels, eps=args["eps"], momentum=args["momentum"])
        for name in ("weight", "bias"):
            value = a.tensor(args[name])
            if value is not None:
                norm.register_parameter(name, cast(nn.Parameter, value))
            else:
                getattr(norm, name).requires_grad_(False)  # the original has none
        norm.running_mean = cast(Tensor, a.tensor(args["running_mean"]))
        norm.running_var = cast(Tensor, a.tensor(args["running_var"]))
        return norm, None

    key = ("batch_norm", args["weight"], args["running_mean"], len(a.analysis.axes[x]))
    if key not in a.known:
        norm, _ = make()
        a.known[key] = a.place_layer(node, norm)
    a.call(node, a.known[key], [x], "last")


def _layer_norm(a: Assembly, node: fx.Node, args: Mapping[str, Any]) -> None:
    weight, bias, x = args["weight"], args.get("bias"), args["input"]
    is_rms = name_of(node) == "rms_norm"
    eps = args["eps"]

    def make() -> tuple[nn.Module, nn.Module | None]:
        dims = {"weight": a.dims(weight)} | ({"bias": a.dims(bias)} if bias is not None else {})
        tensors = {"weight": a.tensor(weight), "bias": a.tensor(bias)}
        kind = fitted.FittedRMSNorm if is_rms else fitted.FittedLayerNorm
        plain: nn.Module | None = None
        if _all_fixed(*dims.values()):
            sizes = list(weight.meta["val"].shape)
            plain = (
                nn.RMSNorm(sizes, eps=eps, device="meta")
                if is_rms
                else nn.LayerNorm(sizes, eps=eps, bias=bias is not None, device="meta")
            )
            if is_rms:
                tensors.pop("bias")
        return kind(dims["weight"], eps, tensors, dims), plain

    a.layer(node, (name_of(node), weight, bias, eps), make, x)


def _group_norm(a: Assembly, node: fx.Node, args: Mapping[str, Any]) -> None:
    weight, bias, x = args["weight"], args["bias"], args["input"]

    def make() -> tuple[nn.Module, nn.Module | None]:
        dims = {"weight": a.dims(weight), "bias": a.dims(bias)}
        tensors = {"weight": a.tensor(weight), "bias": a.tensor(bias)}
        groups = _groups_of(a, x, args["num_groups"])
        channels = dims["weight"][0]
        plain = None
        if _all_fixed(*dims.values()):
            plain = nn.GroupNorm(
                args["num_groups"], largest(channels), eps=args["eps"], device="meta"
            )
        return fitted.FittedGroupNorm(groups, channels, args["eps"], tensors, dims), plain

    a.layer(node, ("group_norm", weight, bias, args["num_groups"]), make, x)


def _embedding(a: Assembly, node: fx.Node, args: Mapping[str, Any]) -> None:
    weight = args["weight"]
    padding = args["padding_idx"] if args["padding_idx"] >= 0 else None

    def make() -> tuple[nn.Module, nn.Module | None]:
        dims = {"weight": a.dims(weight)}
        tensors = {"weight": a.tensor(weight)}
        plain = None
        if _all_fixed(*dims.values()):
            count, size = weight.meta["val"].shape
            plain = nn.Embedding(count, size, padding_idx=padding, device="meta")
        return fitted.FittedEmbedding(dims["weight"][1], padding, tensors, dims), plain

    a.layer(node, ("embedding", weight, padding), make, args["indices"])


LAYERS: dict[str, Callable[[Assembly, fx.Node, Mapping[str, Any]], None]] = {
    **dict.fromkeys(_CONV, _convolution),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "group_norm": _group_norm,
    "embedding": _embedding,
}
