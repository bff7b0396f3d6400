"""Cells of recurrent nets, one step of time, in terms of linear layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from tipsc.convert.ops.record import Op
from tipsc.convert.writer import Writer

aten = torch.ops.aten


def _gru_cell(w: Writer) -> fx.Node:
    """As torch.nn.GRUCell states it."""
    state = w.args["hx"]
    read, kept = (
        _gates(w, *names) for names in (("input", "w_ih", "b_ih"), ("hx", "w_hh", "b_hh"))
    )
    reset, update = (
        w(aten.sigmoid.default, w(aten.add.Tensor, read(place), kept(place))) for place in (0, 1)
    )
    new = w(aten.add.Tensor, read(2), w(aten.mul.Tensor, reset, kept(2)))
    new = w(aten.tanh.default, new)
    change = w(aten.mul.Tensor, update, w(aten.sub.Tensor, state, new))
    return w(aten.add.Tensor, change, new)


def _rnn_cell(activation: Any) -> Any:
    def write(w: Writer) -> fx.Node:
        read = w(aten.linear.default, w.args["input"], w.args["w_ih"], w.args["b_ih"])
        kept = w(aten.linear.default, w.args["hx"], w.args["w_hh"], w.args["b_hh"])
        return w(activation, w(aten.add.Tensor, read, kept))

    return write


def _gates(w: Writer, x: str, weight: str, bias: str) -> Any:
    """The rows of one gate, by its place, of what a linear layer gives for all of them."""
    size = int(w.args["w_hh"].meta["val"].shape[1])
    whole = w(aten.linear.default, w.args[x], w.args[weight], w.args[bias])
    return lambda place: w(aten.slice.Tensor, whole, 1, place * size, (place + 1) * size)


RECURRENT = {
    "gru_cell": Op(rewrite=_gru_cell),
    "rnn_tanh_cell": Op(rewrite=_rnn_cell(aten.tanh.default)),
    "rnn_relu_cell": Op(rewrite=_rnn_cell(aten.relu.default)),
}
