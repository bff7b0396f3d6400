"""What a planned path is made of: operations as modules without values, and their weights."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from tipsc.lower.weights import Weight


@dataclass(frozen=True)
class PlannedOperation:
    """One step of a path, norms folded.

    Attributes:
        label: the step's; unique, stable across paths.
        inputs: labels of operations, or of inputs (:func:`tipsc.elastic.trace.input_labels`).
        module: computes the operation; takes the inputs in order; without values (see
            :func:`with_values`).
        weights: the part of the store behind each of the module's parameters, by its name there.
        shape: of the output, for a batch of one; () if there are several outputs.
        parts: shapes of the outputs, if there are several.
        item: which of several outputs this operation picks, if it only does that.
        gain: how many times what it stands for it gives, if it gets what it stands for; see
            :mod:`tipsc.lower.levels`, which alone reads it.
    """

    label: str
    inputs: tuple[str, ...]
    module: nn.Module
    weights: Mapping[str, Weight]
    shape: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...] = ()
    item: int | None = None
    gain: float = 1.0

    @property
    def name(self) -> str:
        """Of the function that it is, or of the class of its module."""
        return (
            self.module.name
            if isinstance(self.module, FunctionCall)
            else type(self.module).__name__
        )

    @property
    def is_reshape(self) -> bool:
        """Whether it only gives its input another shape."""
        return isinstance(self.module, FunctionCall) and self.module.is_reshape


def with_values(operation: PlannedOperation) -> nn.Module:
    """The operation's module with its weights in place."""
    module = copy.deepcopy(operation.module)
    for key, weight in operation.weights.items():
        owner, _, name = key.rpartition(".")
        value = torch.from_numpy(np.asarray(weight.value, order="C"))
        holder = module.get_submodule(owner)
        if name in holder._parameters:
            holder._parameters[name] = nn.Parameter(value.float(), requires_grad=False)
        else:
            holder._buffers[name] = value
    return module


@dataclass(frozen=True)
class PlannedPath:
    """What a path computes.

    Attributes:
        operations: in the order of computation.
        outputs: labels of what it gives, in the order of the signature.
    """

    operations: tuple[PlannedOperation, ...]
    outputs: tuple[str, ...]


class Parameter(nn.Module):
    """A parameter that the forward pass reads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(0, device="meta"))

    def forward(self) -> Tensor:
        return self.value


_POOL = "adaptive_avg_pool"


class FunctionCall(nn.Module):
    """A function or method of torch, with all its arguments but the tensors bound."""

    def __init__(self, node: fx.Node, constants: Mapping[str, object]) -> None:
        super().__init__()
        places = itertools.count()  # in the order of :func:`tipsc.elastic.trace.sources`

        def bind(argument: fx.Node) -> Any:
            label = argument.meta["label"]
            return constants[label] if label in constants else _Slot(next(places))

        self._arguments = fx.node.map_arg(node.args, bind)
        self._named = fx.node.map_arg(node.kwargs, bind)
        self._target: str | Callable[..., Any] = node.target
        self._is_method = node.op == "call_method"
        self.name = str(getattr(node.target, "__name__", node.target)).partition(".")[0]
        if _pools_all(self.name, self._arguments):
            # The exporter writes the strides of what lies channels last into the graph otherwise.
            axes = int(self.name.removeprefix(_POOL)[0])
            self._arguments = (self._arguments[0], tuple(range(-axes, 0)))
            self._target, self._is_method, self._named = _mean, False, {}
        self.is_reshape = node.target in (torch.reshape, "reshape", "view", "flatten", "unflatten")

    @property
    def starts_with_tensor(self) -> bool:
        """Whether its first argument is a tensor, and not a number."""
        return bool(self._arguments) and isinstance(self._arguments[0], _Slot)

    @property
    def numbers(self) -> tuple[Any, ...]:
        """Its other arguments in order, which are no tensors."""
        return tuple(a for a in self._arguments if not isinstance(a, _Slot | tuple | list))

    @property
    def named(self) -> Mapping[str, Any]:
        """Its arguments by name."""
        return self._named

    def forward(self, *tensors: Any) -> Any:
        def fill(argument: Any) -> Any:
            if isinstance(argument, _Slot):
                return tensors[argument.index]
            if isinstance(argument, tuple | list):
                return type(argument)(fill(a) for a in argument)
            return argument

        arguments = [fill(a) for a in self._arguments]
        named = {key: fill(a) for key, a in self._named.items()}
        if self._is_method:
            return getattr(arguments[0], str(self._target))(*arguments[1:], **named)
        assert callable(self._target)
        return self._target(*arguments, **named)


def _pools_all(name: str, arguments: Sequence[Any]) -> bool:
    """Whether a function is an average over all places of an image, a series or a volume."""
    if not name.startswith(_POOL) or len(arguments) != 2:
        return False
    size = arguments[1]
    return size == 1 or (isinstance(size, tuple | list) and set(size) == {1})


def _mean(x: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
    return x.mean(tuple(axes), keepdim=True)


@dataclass(frozen=True)
class _Slot:
    index: int


def item_of(node: fx.Node) -> int | None:
    """The index, if the node only picks one of several outputs of the node before it."""
    if node.op != "call_function" or node.target is not operator.getitem:
        return None
    index = node.args[1]
    return index if isinstance(index, int) else None
