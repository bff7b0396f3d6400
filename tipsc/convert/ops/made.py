"""Tensors that are made in the forward pass, and what makes none."""

from __future__ import annotations

import torch
from torch import fx

from tipsc.convert.ops.record import Op, Role, always
from tipsc.convert.program import hint, name_of
from tipsc.convert.writer import Writer

aten = torch.ops.aten


def _filled(w: Writer) -> fx.Node | None:
    """A constant of the batch's size: one example of it, repeated."""
    sizes = next((w.args[key] for key in ("size", "new_size") if key in w.args), None)
    batches = [size for size in w.shape if isinstance(size, torch.SymInt)]
    if sizes is None or not batches or "empty" in name_of(w.node):
        return None
    value = w.args.get("fill_value", 1 if "ones" in name_of(w.node) else 0)
    if not isinstance(value, int | float | bool):
        return None
    one = [1 if isinstance(size, torch.SymInt) else int(size) for size in w.shape]
    kind, device = w.node.meta["val"].dtype, w.program.input.meta["val"].device
    constant = w.tensor("value", torch.full(one, value, dtype=kind, device=device))
    return w(aten.expand.default, constant, list(sizes))


def _arange(w: Writer) -> fx.Node | None:
    """Numbers of the examples of a batch, counted by a sum."""
    if not isinstance(w.shape[0], torch.SymInt):
        return None
    step, start = w.args.get("step", 1), w.args.get("start", 0)
    if not isinstance(step, int) or not isinstance(start, int):
        return None
    kind, device = w.node.meta["val"].dtype, w.program.input.meta["val"].device
    count = w.args["end"]
    if (start, step) != (0, 1):
        if hint(w.program.input.meta["val"].shape[0]) != hint(w.shape[0]):
            return None
        count = w.size(w.program.input, 0)
    constant = w.tensor("step", torch.full((1,), step, dtype=kind, device=device))
    counted = w(aten.cumsum.default, w(aten.expand.default, constant, [count]), 0)
    return w(aten.add.Tensor, counted, start - step)


MADE = {
    **dict.fromkeys(
        ("zeros", "ones", "full", "new_zeros", "new_ones", "new_full"), Op(rewrite=_filled)
    ),
    "arange": Op(rewrite=_arange),
    "sym_size": Op(follows=always),
    **dict.fromkeys(("alias", "detach", "lift_fresh_copy", "clone"), Op(role=Role.COPY)),
    "contiguous": Op(role=Role.COPY, may_view=True),
    **dict.fromkeys(
        ("_assert_scalar", "_assert_tensor_metadata", "_assert_async", "sym_constrain_range"),
        Op(role=Role.ASSERTION),
    ),
}
