"""The heads of early exits."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from tipsc.convert.converted import Call, Leave
from tipsc.convert.emit import Emitter
from tipsc.convert.exits import NAME, Exit, Exits, Head, Pooling
from tipsc.convert.functions import Function, Size, Slot
from tipsc.convert.ops import build
from tipsc.convert.program import Program
from tipsc.elastic.dims import Dim
from tipsc.elastic.fitted import FittedConv, FittedLinear

_POOLS = {3: nn.AdaptiveAvgPool1d, 4: nn.AdaptiveAvgPool2d, 5: nn.AdaptiveAvgPool3d}


def leaves_of(program: Program, exits: Exits) -> dict[fx.Node, list[Exit]]:
    """For operations after which there are exits: when all that the heads read is there."""
    order = {node: i for i, node in enumerate(program.nodes())}
    leaves: dict[fx.Node, list[Exit]] = {}
    for leave in exits.found:
        read = {leave.node}
        if leave.pooling is None and exits.head is not None:
            read |= exits.head.beside
        last = max((n for n in read if n in order), key=order.__getitem__)
        leaves.setdefault(last, []).append(leave)
    return leaves


def add_head(e: Emitter, leave: Exit, exits: Exits) -> None:
    """Puts an exit's head, and the way out through it, behind what the supernet has."""
    assert exits.choice is not None
    inner = e.within(f"{NAME}s.{leave.number}.")
    if leave.pooling is None:
        assert exits.head is not None
        _copy(inner, leave.node, exits.head)
    else:
        _make(inner, leave.node, leave.pooling)
    head = tuple(call for call in inner.calls if isinstance(call, Call))
    kinds = (nn.Linear, FittedLinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, FittedConv)
    linear = [c.module for c in head if isinstance(e.net.get_submodule(c.module), kinds)]
    e.calls.append(Leave(exits.choice.name, leave.number, head, linear[-1]))


def _copy(e: Emitter, node: fx.Node, head: Head) -> None:
    """The model's own head once more, with copies of its weights."""
    e.numbers[head.source] = e.numbers[node]
    tensors = {t for n in head.nodes for t in n.all_input_nodes if t in e.program.tensors}
    for tensor in tensors:
        e.numbers.pop(tensor, None)
    names = {e.program.tensors[tensor] for tensor in tensors}
    e.values = {**e.values, **{name: _copied(e.values[name]) for name in names}}
    for operation in head.nodes:
        build(e, operation)


def _make(e: Emitter, node: fx.Node, pooling: Pooling) -> None:
    """Pooling and a linear layer with first weights as torch draws them.

    The layer reads as many channels as a path has there.
    """
    shape, width = node.meta["val"].shape, e.dims(node)[pooling.channels]
    channels, classes = int(shape[pooling.channels]), int(e.program.outputs[0].meta["val"].shape[1])
    x = e.numbers[node]
    if pooling.taken is not None:
        take = Function(torch.select, (Slot(0), pooling.places[0], pooling.taken), {})
        x = e.emit("take", take, (x,), "first")
    elif pooling.channels == 1 and len(shape) in _POOLS:
        x = e.emit("pool", _POOLS[len(shape)](1), (x,), "")
        flat = Function(torch.reshape, (Slot(0), (-1, Size(width))), {})
        x = e.emit("flatten", flat, (x,), "first")
    elif pooling.places:
        mean = Function(torch.mean, (Slot(0), list(pooling.places)), {})
        x = e.emit("pool", mean, (x,), "first")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # one model is converted to the same supernet each time
        linear = nn.Linear(channels, classes)
    linear = linear.to(next(iter(e.values.values())).device)
    if isinstance(width, int):
        e.emit("linear", linear, (x,), "")
        return
    dims: dict[str, tuple[Dim, ...]] = {"weight": (classes, width), "bias": (classes,)}
    tensors = {"weight": linear.weight, "bias": linear.bias}
    e.emit("linear", FittedLinear(width, classes, tensors, dims), (x,), "last")


def _copied(value: Tensor) -> Tensor:
    copy = value.detach().clone()
    return nn.Parameter(copy, value.requires_grad) if isinstance(value, nn.Parameter) else copy
