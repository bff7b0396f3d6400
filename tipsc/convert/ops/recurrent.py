"""Recurrent nets: layers over time, and cells, one step of time, in terms of linear layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, NotUnderstood
from tipsc.convert.axes import Axis, Group
from tipsc.convert.ops.record import Arguments, Op, Rule, nest, rank_of
from tipsc.convert.writer import Writer

aten = torch.ops.aten


def _layers(gates: int) -> Rule:
    """Of layers over time: a unit that is kept or cut has a row of each gate's weights.

    All layers and both directions have as many units, since their states stand in one tensor.
    """

    def rule(a: Analysis, node: fx.Node, args: Arguments) -> Any:
        if "input" not in args or rank_of(args["input"]) != 3:
            raise NotUnderstood("its input has no batch axis")
        states = args["hx"] if isinstance(args["hx"], list) else [args["hx"]]
        directions = 2 if args["bidirectional"] else 1
        each = 4 if args["has_biases"] else 2
        if len(args["params"]) != args["num_layers"] * directions * each:
            raise NotUnderstood("its states are projected")
        x, (each_layer, batch, units) = a.of(args["input"]), a.of(states[0])
        ax.fix(each_layer, "layers and directions")
        for state in states:
            for one, two in zip(a.of(states[0]), a.of(state), strict=True):
                ax.unify(one, two)
        steps = x[1] if args["batch_first"] else x[0]
        ax.fix(steps, "steps of time, one after the other")
        ax.unify(x[0] if args["batch_first"] else x[1], batch)
        read, params = x[2], list(args["params"])
        for _ in range(args["num_layers"]):
            for _ in range(directions):
                into, back, *biases = (a.of(params.pop(0)) for _ in range(each))
                ax.unify(into[1], read)
                ax.unify(back[1], units)
                for rows in (into[0], back[0], *(bias[0] for bias in biases)):
                    ax.unify(rows, _of_each_gate(gates, units))
            read = units * directions
        first = [batch, steps] if args["batch_first"] else [steps, batch]
        return [[*first, read], *([each_layer, batch, units] for _ in states)]

    return rule


def _of_each_gate(gates: int, units: Axis) -> Axis:
    inner = Group(ax.axis_size(units))
    ax.unify(((inner,),), units)
    return (nest(Group(gates, "gates"), inner),)


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
    "lstm": Op(_layers(4)),
    "gru": Op(_layers(3)),
    "gru_cell": Op(rewrite=_gru_cell),
    "rnn_tanh_cell": Op(rewrite=_rnn_cell(aten.tanh.default)),
    "rnn_relu_cell": Op(rewrite=_rnn_cell(aten.relu.default)),
}
