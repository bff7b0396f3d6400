"""What works on each value by itself."""

from __future__ import annotations

import torch
from torch import fx, nn

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes, NotUnderstood
from tipsc.convert.emit import Emitter
from tipsc.convert.ops.record import Arguments, Op, Role, always
from tipsc.convert.program import hint, name_of, scope_of
from tipsc.convert.writer import Writer
from tipsc.elastic.operations import ACTIVATIONS

aten = torch.ops.aten


def _prelu(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x, weight = a.of(args["self"]), a.of(args["weight"])
    if len(weight) and ax.axis_size(weight[0]) != 1:
        ax.unify(x[1], weight[0])
    return x


def _dropout(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    if args["train"]:
        raise NotUnderstood("it is on in eval mode too")
    return a.of(args["input"])


def _rrelu(w: Writer) -> fx.Node | None:
    """In eval mode its slope is the middle of the range."""
    if w.args["training"]:
        return None
    slope = (w.args["lower"] + w.args["upper"]) / 2
    return w(aten.leaky_relu.default, w.args["self"], slope)


def _cast(w: Writer) -> fx.Node | None:
    """A change of the type only: a supernet is on one device, which may be another one later."""
    x = w.args["self"]
    kind = w.node.meta["val"].dtype
    if kind == x.meta["val"].dtype:
        return x
    known = w.program.values.get(w.program.tensors.get(x, ""))
    if known is not None and known.is_floating_point() and not isinstance(known, nn.Parameter):
        return w.tensor("value", known.to(kind))  # a buffer that is kept in another precision
    if w.node.target is aten.to.dtype:
        return None
    return w(aten.to.dtype, x, kind)


def _copy(w: Writer) -> fx.Node | None:
    x, source = w.args["self"], w.args["src"]
    if source.meta["val"].dtype != x.meta["val"].dtype:
        source = w(aten.to.dtype, source, x.meta["val"].dtype)
    if list(map(hint, source.meta["val"].shape)) == list(map(hint, x.meta["val"].shape)):
        return source
    return w(aten.expand_as.default, source, x)


def elementwise(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    """All tensors are paired, value by value."""
    return a.broadcast(node, [n for n in node.all_input_nodes if n in a.axes])


def _build_dropout(e: Emitter, node: fx.Node, args: Arguments) -> None:
    if args["train"]:
        e.same(node)
        return
    name, rank = name_of(node), len(node.meta["val"].shape)
    kinds = {3: nn.Dropout1d, 4: nn.Dropout2d, 5: nn.Dropout3d}
    kind = {"dropout": nn.Dropout, "alpha_dropout": nn.AlphaDropout}.get(
        name, kinds.get(rank, nn.Dropout)
    )
    e.call(node, e.place(scope_of(node) or "dropout", kind(args["p"])), [args["input"]], "")


ELEMENT = Op(elementwise, Role.ELEMENTWISE)
"""Also what torch says to be pointwise, if it has no entry."""

_AT_ANY_RESOLUTION = Op(elementwise, Role.ELEMENTWISE, follows=always)
_DROPOUT = Op(_dropout, Role.DROPOUT, build=_build_dropout, follows=always, may_view=True)
_ADDITION = Op(elementwise, Role.ADDITION, follows=always)

ELEMENTWISE = {
    **dict.fromkeys(
        (
            *ACTIVATIONS,
            *("mul", "div", "neg", "abs", "exp", "sqrt", "rsqrt", "pow"),
        ),
        _AT_ANY_RESOLUTION,
    ),
    **dict.fromkeys(
        (
            *("selu", "celu", "log_sigmoid", "square", "where", "masked_fill", "zeros_like"),
            *("ones_like", "full_like", "rsub", "fill", "softshrink", "hardshrink", "threshold"),
        ),
        ELEMENT,
    ),
    "to": Op(elementwise, Role.ELEMENTWISE, rewrite=_cast, may_view=True),
    "_to_copy": Op(elementwise, Role.ELEMENTWISE, rewrite=_cast),
    "type_as": Op(elementwise, Role.ELEMENTWISE, rewrite=_cast),
    "copy": Op(elementwise, Role.ELEMENTWISE, rewrite=_copy),
    "rrelu": Op(elementwise, Role.ELEMENTWISE, rewrite=_rrelu),
    "prelu": Op(_prelu, Role.ELEMENTWISE, follows=always),
    "add": _ADDITION,
    "sub": _ADDITION,
    "dropout": _DROPOUT,
    "feature_dropout": _DROPOUT,
    "alpha_dropout": Op(_dropout, Role.DROPOUT, build=_build_dropout),
}
