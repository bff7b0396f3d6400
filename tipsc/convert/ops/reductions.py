"""Sums, means and maxima along axes, and what compares along one."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes, NotUnderstood
from tipsc.convert.axes import Group, fix_all
from tipsc.convert.ops.record import (
    Arguments,
    Op,
    Role,
    Rule,
    always,
    spatial_axes,
)
from tipsc.convert.program import name_of

aten = torch.ops.aten


def _softmax(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    ax.fix(x[args["dim"]], f"{name_of(node)} over it")
    return x


def _reduction(*, keeps_scale: bool) -> Rule:
    def rule(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
        x = a.of(args["self"])
        dims = args.get("dim")
        if dims is None or dims == []:
            dims = list(range(len(x)))
        places = {d % len(x) for d in ([dims] if isinstance(dims, int) else dims)}
        if not keeps_scale:
            fix_all([x[place] for place in places], f"{name_of(node)} over it")
        if args.get("keepdim"):
            return [((),) if i in places else axis for i, axis in enumerate(x)]
        return [axis for i, axis in enumerate(x) if i not in places]

    return rule


def _extreme(a: Analysis, node: fx.Node, args: Arguments) -> Any:
    """max and min: of two tensors, or over an axis, which also tells the places."""
    if "other" in args:
        return a.broadcast(node, [args["self"], args["other"]])
    if "dim" not in args:
        raise NotUnderstood("over all axes")
    x = a.of(args["self"])
    place = args["dim"] % len(x)
    if any(user.args[1] == 1 for user in node.users):
        ax.fix(x[place], "places in it are told")
    kept = [((),)] if args["keepdim"] else []
    return [[*x[:place], *kept, *x[place + 1 :]] for _ in node.meta["val"]]


def _pixel_shuffle(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    x = a.of(args["self"])
    r = args["upscale_factor"] ** 2
    channels = Group(ax.axis_size(x[-3]) // r)
    ax.unify(x[-3], ((channels, Group(r, "a block of pixels")),))
    out = ((channels,),) if channels.size != 1 else ((),)
    return [*x[:-3], out, *spatial_axes(node.meta["val"], 2)]


REDUCTIONS = {
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "cumsum"), Op(_softmax)),
    "mean": Op(_reduction(keeps_scale=True), Role.POOL, follows=always),
    "amax": Op(_reduction(keeps_scale=True), follows=always),
    "amin": Op(_reduction(keeps_scale=True)),
    **dict.fromkeys(("sum", "linalg_vector_norm"), Op(_reduction(keeps_scale=False))),
    **dict.fromkeys(("max", "min"), Op(_extreme)),
    "pixel_shuffle": Op(_pixel_shuffle),
}
