"""Whether a supernet takes the data, and its outputs are what their task judges."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from tipsc.batch import first, flat
from tipsc.elastic import Supernet
from tipsc.elastic.looking import looking
from tipsc.errors import DataError, listed
from tipsc.signature import TensorSpec
from tipsc.train.data import Data
from tipsc.tree import tree_of


def check_fits(
    supernet: Supernet, data: Data, where: str, fix_input: str = "", fix_output: str = ""
) -> None:
    """Refuses data that the supernet does not take, or whose task its outputs do not fit.

    Args:
        where: what the data are, for errors.
        fix_input, fix_output: what to correct in the model.

    Raises:
        DataError: what was expected and found.
    """
    inputs, specs = first(data.train, 1).inputs, supernet.inputs
    tensors, names = flat(inputs), tree_of(inputs, "inputs").names("input")
    if len(tensors) != len(specs) or (isinstance(inputs, dict) and names != _names(specs)):
        raise DataError(
            "the data have other inputs than the model",
            where=where,
            expected=listed(_names(specs)),
            got=listed(names),
            fix=_or("correct the data", fix_input),
        )
    for spec, tensor in zip(specs, tensors, strict=True):
        got, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        if spec.batch_axis != 0:
            raise DataError(
                f"the model takes {spec.name} with the examples "
                + ("on no axis" if spec.batch_axis is None else f"on axis {spec.batch_axis}"),
                where=where,
                expected="the examples on the first axis of each input, as the data have them",
                got=f"shape {spec.shape}, layout {spec.layout}",
                fix="let the model's forward turn it, or make it itself",
            )
        if got[1:] != spec.shape[1:] or dtype != spec.dtype:
            hint = _hint(spec.shape[1:], got[1:])
            raise DataError(
                "the data do not fit the model's input"
                + (f" {spec.name}" if len(specs) > 1 else ""),
                where=where,
                expected=f"examples of shape {spec.shape[1:]}, {spec.dtype}",
                got=f"{got[1:]}, {dtype}",
                fix=hint or _or("correct the data", fix_input),
            )
    with looking(supernet):
        outputs = supernet(*supernet.examples(), supernet.space.smallest)
    data.judged_by.check_outputs(outputs, where, fix_output)
    if data.judged_by.labelled:
        _check_together(supernet, data, where)


def _check_together(supernet: Supernet, data: Data, where: str) -> None:
    """Refuses targets that the task's loss cannot hold against the outputs for their inputs."""
    batch = first(data.train, 2)
    with looking(supernet):
        outputs = supernet(*flat(batch.inputs), supernet.space.smallest)
    try:
        with warnings.catch_warnings():  # a loss of shapes that are made equal is of other pairs
            warnings.filterwarnings("error", "Using a target size", UserWarning)
            data.judged_by.loss(outputs, batch.targets)
    except (RuntimeError, ValueError, IndexError, TypeError, UserWarning) as error:
        raise DataError(
            "the targets do not fit the model's outputs",
            where=where,
            expected=f"targets that go with {_shapes_of(outputs)}",
            got=f"{_shapes_of(batch.targets)}: {str(error).partition(chr(10))[0]}",
            fix=_of_shapes(outputs, batch.targets)
            or f"give targets as docs/tasks.md says of {data.judged_by.name}",
        ) from error


def _shapes_of(tensors: Any) -> str:
    """``(2, 5, 48, 48) float32``, of each tensor of a tree."""
    flat_ones = tree_of(tensors, "tensors").flat(tensors, "tensors")
    return listed(f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in flat_ones)


def _of_shapes(outputs: Any, targets: Any) -> str:
    """What to do where one target is a map of another size than the one output."""
    if not (isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor)):
        return ""
    places = tuple(outputs.shape[2:])
    if targets.shape[1:2] == (1,) and tuple(targets.shape[2:]) == places and places:
        return "take the axis of channels away: targets[:, 0]"
    if targets.dim() == outputs.dim() - 1 and places:
        return f"give targets of {places} places, such as masks resized to that, without blending"
    if targets.dim() != outputs.dim() and targets.numel() == outputs.numel():
        return "give the targets the shape of the outputs: targets[:, None], or targets[:, 0]"
    return ""


def unlearned(supernet: Supernet, data: Data) -> list[str]:
    """Sentences on outputs that the loss does not depend on; nothing of the supernet changes."""
    tree, names = supernet.signature.gives, [spec.name for spec in supernet.signature.outputs]
    batch, task = first(data.train, 2), data.judged_by
    with looking(supernet):
        outputs = supernet(*flat(batch.inputs), supernet.space.smallest)
    tensors = [
        tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor
        for tensor in tree.flat(outputs, "the output")
    ]
    loss = task.loss(tree.build(tensors), batch.targets)
    if loss.requires_grad:
        loss.backward()
    return [
        f"the loss does not depend on the model's output {name}: nothing but a teacher trains it"
        for name, tensor in zip(names, tensors, strict=True)
        if tensor.requires_grad and tensor.grad is None
    ]


def _names(specs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    return tuple(spec.name for spec in specs)


def _or(one: str, other: str) -> str:
    return f"{one} or {other}" if other else one


def _hint(expected: tuple[int, ...], got: tuple[int, ...]) -> str | None:
    """How to turn the examples into what is expected, where that is plain."""
    if expected == (1, *got):
        return "give the examples an axis of channels: inputs[:, None]"
    if len(got) > 1 and expected == (got[-1], *got[:-1]):
        return "put the channels first: inputs.movedim(-1, 1)"
    return None
