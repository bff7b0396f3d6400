"""What a path computes once batch norms are folded into the layers before them.

A norm that directly follows a convolution or linear layer becomes part of it: the weights are
multiplied by the norm's scale, gamma / sqrt(variance + eps), and what is left is a bias,
beta - mean * scale. When all paths share the variance they share the folded weights, and each
has only its own bias vectors.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.elastic.extract import plain_modules
from tipsc.elastic.layers import ElasticLayer
from tipsc.elastic.statistics import Statistics
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import Trace, trace
from tipsc.lower.weights import Weight, whole

_FOLDS_INTO = (nn.Conv1d, nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Operation:
    """One step of a path, norms folded.

    Attributes:
        label: the step's; unique, stable across paths.
        inputs: labels of operations, or "input".
        module: computes the operation; takes the inputs in order.
        weights: the part of the store behind each of the module's parameters, by its name there.
        shape: of the output, for a batch of one.
        item: which of several outputs this operation picks, if it only does that.
    """

    label: str
    inputs: tuple[str, ...]
    module: nn.Module
    weights: Mapping[str, Weight]
    shape: tuple[int, ...]
    item: int | None = None


class Planner:
    """Plans paths of one supernet; folded full-size weights are computed once and shared.

    Args:
        supernet: its weights must not change while the planner is used.
    """

    def __init__(self, supernet: Supernet) -> None:
        self._supernet = supernet
        self._folded: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        self._full: dict[str, np.ndarray] = {}

    def plan(self, path: Any, statistics: Statistics | None = None) -> tuple[Operation, ...]:
        """The operations of a path, in the order of computation.

        Raises:
            LoweringError: the supernet cannot be traced.
        """
        traced = trace(self._supernet, path)
        modules = plain_modules(self._supernet, traced, statistics)
        norms = _foldable_norms(traced, modules)
        renamed = dict(norms)  # a folded norm's output is its layer's output
        nodes = {label: node for node, label in traced.nodes()}
        operations = []
        for step in traced.steps:
            if step.label in norms:
                continue
            inputs = tuple(renamed.get(label, label) for label in step.inputs)
            node = nodes[step.label]
            item = _item(node)
            if step.module:
                norm = next((n for n, layer in norms.items() if layer == step.label), None)
                module = modules[step.module]
                assert isinstance(module, nn.Module)
                if norm is None:
                    weights = self._weights(step.module, module, path, statistics)
                else:
                    module, weights = self._fold(
                        step.module, str(nodes[norm].target), module, path, statistics, modules
                    )
            elif step.operation == "parameter":
                value = modules[str(node.target)]
                assert isinstance(value, Tensor)
                module = _Parameter(value)
                weights = {"value": self._stored(str(node.target))}
            else:
                module, weights = _Function(node, traced.constants), {}
            operations.append(Operation(step.label, inputs, module, weights, step.shape, item))
        return tuple(operations)

    def _stored(self, name: str) -> Weight:
        if name not in self._full:
            value: Any = self._supernet
            for part in name.split("."):
                value = getattr(value, part)
            self._full[name] = value.detach().cpu().numpy()
        return whole(name, self._full[name])

    def _weights(
        self, name: str, module: nn.Module, path: Any, statistics: Statistics | None
    ) -> dict[str, Weight]:
        layer = self._supernet.get_submodule(name)
        cuts = layer.cuts(path) if isinstance(layer, ElasticLayer) else {}
        own: Mapping[str, Tensor] = {}
        if statistics is not None:
            means, variances = statistics.mean, statistics.variance
            own = {
                key: values[name]
                for key, values in (("running_mean", means), ("running_var", variances))
                if name in values
            }
        weights = {}
        for key, value in (*module.named_parameters(), *module.named_buffers()):
            if key in own:
                weights[key] = whole(f"{name}.{key}", own[key].numpy())
            elif value.dim():
                stored = self._stored(f"{name}.{key}")
                weights[key] = Weight(stored.name, stored.full, cuts.get(key, stored.cut))
        return weights

    def _fold(
        self,
        name: str,
        norm_name: str,
        module: nn.Module,
        path: Any,
        statistics: Statistics | None,
        modules: Mapping[str, object],
    ) -> tuple[nn.Module, dict[str, Weight]]:
        """A layer with the norm after it folded in, and its weights in the store."""
        norm = modules[norm_name]
        assert isinstance(norm, _BatchNorm)
        if statistics is not None and norm_name in statistics.variance:
            scale = _scale(norm)
            weight = whole(f"{name}.weight", _scaled(_array(module.weight), scale))
        else:
            full_weight, full_scale = self._shared_fold(name, norm_name)
            layer = self._supernet.get_submodule(name)
            cut = whole("", full_weight).cut
            if isinstance(layer, ElasticLayer):
                cut = layer.cuts(path)["weight"]
            weight = Weight(f"{name}.weight", full_weight, cut)
            scale = full_scale[: norm.num_features]
        before = 0.0 if module.bias is None else _array(module.bias)
        offset = _array(norm.bias) + scale * (before - _array(norm.running_mean))
        bias = whole(f"{name}.bias", _shortest(offset.astype(np.float32)))
        folded = copy.copy(module)
        folded._parameters = {
            "weight": nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight.value))),
            "bias": nn.Parameter(torch.from_numpy(bias.full.astype(np.float32))),
        }
        return folded, {"weight": weight, "bias": bias}

    def _shared_fold(self, name: str, norm_name: str) -> tuple[np.ndarray, np.ndarray]:
        key = (name, norm_name)
        if key not in self._folded:
            scale = _scale(self._supernet.get_submodule(norm_name))
            weight = _array(self._supernet.get_submodule(name).weight)
            self._folded[key] = (_scaled(weight, scale), scale)
        return self._folded[key]


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().double().numpy()


def _scale(norm: Any) -> np.ndarray:
    return _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)


def _scaled(weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return (weight * scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)


def _shortest(vector: np.ndarray) -> np.ndarray:
    """In half precision if that holds it exactly, as calibration arranges for biases."""
    with np.errstate(over="ignore"):
        half = vector.astype(np.float16)
    # The rounding of the arithmetic above is 1e-7; that of half precision 5e-4.
    exact = np.allclose(half.astype(np.float32), vector, rtol=2e-6, atol=1e-7)
    return half if exact else vector


def _foldable_norms(traced: Trace, modules: Mapping[str, object]) -> dict[str, str]:
    """Label of each norm that can be folded, and of the layer that it folds into."""
    readers = Counter(label for step in traced.steps for label in step.inputs)
    by_label = {step.label: step for step in traced.steps}
    calls = Counter(step.module for step in traced.steps)
    foldable = {}
    for step in traced.steps:
        if not isinstance(modules.get(step.module), _BatchNorm):
            continue
        before = by_label.get(step.inputs[0])
        if (
            before is not None
            and isinstance(modules.get(before.module), _FOLDS_INTO)
            and readers[before.label] == 1
            and calls[before.module] == calls[step.module] == 1
            and len(step.shape) != 2 + isinstance(modules[before.module], nn.Linear)
        ):
            foldable[step.label] = before.label
    return foldable


class _Parameter(nn.Module):
    """A parameter that the forward pass reads by itself."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value.detach(), requires_grad=False)

    def forward(self) -> Tensor:
        return self.value


class _Function(nn.Module):
    """A function or method of torch, with all its arguments but the tensors bound."""

    def __init__(self, node: fx.Node, constants: Mapping[str, object]) -> None:
        super().__init__()
        tensors = [n for n in node.all_input_nodes if n.meta["label"] not in constants]

        def bind(argument: fx.Node) -> Any:
            label = argument.meta["label"]
            return constants[label] if label in constants else _Slot(tensors.index(argument))

        self._arguments = fx.node.map_arg(node.args, bind)
        self._named = fx.node.map_arg(node.kwargs, bind)
        self._target: str | Callable[..., Any] = node.target
        self._is_method = node.op == "call_method"

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


@dataclass(frozen=True)
class _Slot:
    index: int


def _item(node: fx.Node) -> int | None:
    """The index, if the node only picks one of several outputs of the node before it."""
    if node.op != "call_function" or node.target is not operator.getitem:
        return None
    index = node.args[1]
    return index if isinstance(index, int) else None
