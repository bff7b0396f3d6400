"""What a model takes and gives, as its program and one call say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import fx, nn

from tipsc.convert.capture import batch_axis_of, outputs_of
from tipsc.convert.given import Given
from tipsc.convert.layout import layout_of
from tipsc.convert.ops.record import shape_of
from tipsc.convert.output_tree import OutputTree
from tipsc.convert.program import Program
from tipsc.elastic.looking import looking
from tipsc.signature import OTHER, Signature, TensorSpec
from tipsc.tree import Tree, fields_of


def outputs_on(model: nn.Module, given: Given) -> OutputTree:
    """The outputs of a model in eval mode."""
    with looking(model):
        found = given.call(model, given.first(1))
    return OutputTree(outputs_of(found)[0], tuple(_records(found)))


def _records(value: Any) -> Iterator[Callable[..., Any]]:
    fields = fields_of(value)
    if fields is not None:
        for name in fields:
            yield from _records(getattr(value, name))
        yield type(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _records(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _records(part)


def signature_of(program: Program, given: Given, gives: Tree) -> Signature:
    """What the model takes and gives, in a batch of one."""
    inputs = [
        _spec(name, node, layout_of(node, axis), axis)
        for name, node, axis in zip(given.names, program.inputs, given.batch_axes, strict=True)
    ]
    taken = set(given.names)
    outputs = []
    for name, node in zip(gives.names("output"), program.outputs, strict=True):
        axis, rank = batch_axis_of(node), len(shape_of(node))
        layout = "".join("N" if place == axis else OTHER for place in range(rank))
        # What a graph takes and gives has one space of names: a state that goes in comes out.
        name = f"{name}_out" if name in taken else name
        outputs.append(_spec(name, node, layout, axis))
    return Signature(tuple(inputs), tuple(outputs), given.takes, gives)


def _spec(name: str, node: fx.Node, layout: str, batch_axis: int | None) -> TensorSpec:
    shape = tuple(1 if i == batch_axis else size for i, size in enumerate(shape_of(node)))
    return TensorSpec(name, str(node.meta["val"].dtype).removeprefix("torch."), shape, layout)
