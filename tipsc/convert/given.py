"""What a model is called with: tensors in their tree, and which axis of each are the examples."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from tipsc.errors import ConversionError, DataError
from tipsc.tree import Tree, tree_of

_TYPES = (torch.float32, torch.int64, torch.int32, torch.uint8, torch.bool)


@dataclass(frozen=True, eq=False)
class Given:
    """One batch, as a model is called with it.

    Attributes:
        tensors: in the order of the tree.
        takes: their tree: of several arguments a tuple, of arguments by keyword a dict.
        names: of the tensors: the model's own arguments, with keys behind dots.
        batch_axes: the axis of the examples of each tensor; None: all examples share it.
        by_keyword: whether the dict is given as keyword arguments.
        several: whether the tuple is given as several arguments.
    """

    tensors: tuple[Tensor, ...]
    takes: Tree
    names: tuple[str, ...]
    batch_axes: tuple[int | None, ...]
    by_keyword: bool = field(default=False, kw_only=True)
    several: bool = field(default=False, kw_only=True)

    def arguments(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments of the model with these in the tensors' places."""
        value = self.takes.build(tensors)
        if self.by_keyword:
            return (), value
        return tuple(value) if self.several else (value,), {}

    def call(self, model: nn.Module, tensors: Sequence[Tensor]) -> Any:
        """What the model gives for them; it may write into what it is given."""
        args, named = self.arguments([tensor.clone() for tensor in tensors])
        return model(*args, **named)

    def first(self, count: int) -> tuple[Tensor, ...]:
        """The first examples."""
        return tuple(
            tensor if axis is None else tensor.narrow(axis, 0, min(count, tensor.shape[axis]))
            for tensor, axis in zip(self.tensors, self.batch_axes, strict=True)
        )

    def with_tensors(self, tensors: Sequence[Tensor]) -> Given:
        return replace(self, tensors=tuple(tensors))


def given_of(
    model: nn.Module, example_inputs: Any, batch_axes: Mapping[str, int | None] | None = None
) -> Given:
    """What `example_inputs` are to a model.

    Args:
        example_inputs: a tensor; a tuple or list of the model's arguments, each a tensor or a
            tuple, list or dict of tensors; or a dict of its keyword arguments.
        batch_axes: by the name of an input, its axis of the examples or None. Of those that are
            not there it is the first axis as long as the first axis of the first input, or none.

    Raises:
        ConversionError: they are no batch of tensors.
    """
    several = isinstance(example_inputs, tuple | list) and len(example_inputs) != 1
    if isinstance(example_inputs, list):
        example_inputs = tuple(example_inputs)
    if isinstance(example_inputs, tuple) and len(example_inputs) == 1:
        (example_inputs,) = example_inputs
        by_keyword = False
    else:
        by_keyword = isinstance(example_inputs, Mapping)
    try:
        takes = tree_of(example_inputs, "example_inputs")
        tensors = tuple(takes.flat(example_inputs, "example_inputs"))
    except DataError as error:
        raise _wrong(error.what, error.got or "", error.where) from error
    if "record" in _kinds(takes) or not all(isinstance(t, Tensor) for t in tensors):
        raise _wrong("holds what is no tensor, tuple, list or dict", type(example_inputs).__name__)
    names = _names(model, takes, several=several, by_keyword=by_keyword)
    for name, tensor in zip(names, tensors, strict=True):
        _check(tensor, "example_inputs" if len(tensors) == 1 else f"example_inputs: {name}")
    if not tensors or not tensors[0].dim() or not len(tensors[0]):
        raise _wrong("is no batch of examples", "no tensor" if not tensors else "no example")
    known, count = batch_axes or {}, len(tensors[0])
    axes = tuple(
        known[name] if name in known else _axis_of(tensor, count)
        for name, tensor in zip(names, tensors, strict=True)
    )
    if 0 not in axes:
        raise _wrong("no input has the examples on its first axis", axes)
    return Given(tensors, takes, names, axes, by_keyword=by_keyword, several=several)


def _axis_of(tensor: Tensor, count: int) -> int | None:
    return next((axis for axis, size in enumerate(tensor.shape) if size == count), None)


def _names(model: nn.Module, takes: Tree, *, several: bool, by_keyword: bool) -> tuple[str, ...]:
    if by_keyword:
        return takes.names("input")
    own = [
        p.name
        for p in inspect.signature(model.forward).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    parts = takes.parts if several else (takes,)
    named = own[: len(parts)]
    named += [f"input.{i}" for i in range(len(named), len(parts))] if several else ["input"]
    return Tree("dict", tuple(named[: len(parts)]), parts).names("input")


def _kinds(tree: Tree) -> set[str]:
    return {tree.kind}.union(*map(_kinds, tree.parts))


def _check(tensor: Tensor, where: str) -> None:
    if tensor.dtype not in _TYPES:
        raise _wrong(
            "is no tensor of signals or tokens",
            f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}",
            where,
        )


def _wrong(what: str, got: object, where: str | None = None) -> ConversionError:
    return ConversionError(
        what,
        where=where or "example_inputs",
        expected="float32, int64, int32, uint8 or bool tensors of shape (N, ...), or tuples, lists "
        "and dicts of them as the model takes them",
        got=got,
    )
