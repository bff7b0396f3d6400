"""What a path computes once batch norms are folded into the layers before them.

A norm that directly follows a convolution or linear layer becomes part of it: the weights are
multiplied by the norm's scale, gamma / sqrt(variance + eps), and what is left is a bias,
beta - mean * scale. When all paths share the variance they share the folded weights, and each
has only its own bias vectors. A parameter that a path has for itself stands in for the shared one;
the weights that it is folded into are then the path's own.
"""

from __future__ import annotations

import copy
import itertools
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.elastic.dims import Part
from tipsc.elastic.extract import plain_modules
from tipsc.elastic.layers import ElasticLayer
from tipsc.elastic.statistics import Statistics
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import Trace, skeleton, trace
from tipsc.lower.weights import Weight, cut_out, whole
from tipsc.paths import Path

_FOLDS_INTO = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


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
    """

    label: str
    inputs: tuple[str, ...]
    module: nn.Module
    weights: Mapping[str, Weight]
    shape: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...] = ()
    item: int | None = None

    @property
    def name(self) -> str:
        """Of the function that it is, or of the class of its module."""
        return (
            self.module.name if isinstance(self.module, _Function) else type(self.module).__name__
        )

    @property
    def is_reshape(self) -> bool:
        """Whether it only gives its input another shape."""
        return isinstance(self.module, _Function) and self.module.is_reshape


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


class Planner:
    """Plans paths of one supernet; folded full-size weights are computed once and shared.

    Args:
        supernet: its weights must not change while the planner is used.
    """

    def __init__(self, supernet: Supernet) -> None:
        self._supernet = supernet
        self._skeleton = skeleton(supernet)
        self._folded: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        self._full: dict[str, np.ndarray] = {}

    def plan(self, path: Path, statistics: Statistics | None = None) -> PlannedPath:
        """The operations of a path, and which of them give its outputs.

        Raises:
            LoweringError: the supernet cannot be traced.
        """
        traced = trace(self._skeleton, path)
        modules = plain_modules(self._skeleton, traced, None)
        norms = foldable_norms(traced, modules)
        norm_of = {layer: norm for norm, layer in norms.items()}
        nodes = {label: node for node, label in traced.nodes()}
        operations = []
        for step in traced.steps:
            if step.label in norms:
                continue
            node = nodes[step.label]
            module: nn.Module
            weights: Mapping[str, Weight] = {}
            if step.module:
                module = cast(nn.Module, modules[step.module])
                if step.label in norm_of:
                    norm = str(nodes[norm_of[step.label]].target)
                    module, weights = self._fold(step.module, module, norm, path, statistics)
                else:
                    weights = self._weights(step.module, module, path, statistics)
            elif step.operation == "parameter":
                module, parameter = _Parameter(), str(node.target)
                holder, _, key = parameter.rpartition(".")
                value = _own(holder, statistics).get(key)
                value = self._stored(parameter) if value is None else value
                weights = {"value": whole(parameter, value)}
            else:
                module = _Function(node, traced.constants)
            # A folded norm's output is its layer's output.
            inputs = tuple(norms.get(label, label) for label in step.inputs)
            operations.append(
                PlannedOperation(
                    step.label, inputs, module, weights, step.shape, step.parts, _item(node)
                )
            )
        outputs = tuple(norms.get(label, label) for label in traced.outputs)
        return PlannedPath(tuple(operations), outputs)

    def _stored(self, name: str) -> np.ndarray:
        """A parameter or buffer of the supernet in its full size, one array for all paths."""
        if name not in self._full:
            value: Any = self._supernet
            for part in name.split("."):
                value = getattr(value, part)
            self._full[name] = value.detach().cpu().numpy()
        return self._full[name]

    def _cut(self, name: str, key: str, path: Path) -> tuple[Part, ...]:
        layer = self._supernet.get_submodule(name)
        cuts = layer.cuts(path) if isinstance(layer, ElasticLayer) else {}
        return cuts.get(key, whole("", self._stored(f"{name}.{key}")).cut)

    def _weights(
        self, name: str, module: nn.Module, path: Path, statistics: Statistics | None
    ) -> dict[str, Weight]:
        """Of a layer that no norm is folded into."""
        own = _own(name, statistics)
        weights = {}
        for key, _ in (*module.named_parameters(), *module.named_buffers()):
            full_name = f"{name}.{key}"
            if key in own:
                weights[key] = whole(full_name, own[key])
            elif key != "num_batches_tracked":
                cut = self._cut(name, key, path)
                weights[key] = Weight(full_name, self._stored(full_name), cut)
        return weights

    def _fold(
        self,
        name: str,
        module: nn.Module,
        norm: str,
        path: Path,
        statistics: Statistics | None,
    ) -> tuple[nn.Module, dict[str, Weight]]:
        """A layer with a bias for the norm after it, and its weights in the store."""
        own, of_layer = _own(norm, statistics), _own(name, statistics)

        def of_norm(key: str) -> np.ndarray:
            part = own.get(key, cut_out(self._stored(f"{norm}.{key}"), self._cut(norm, key, path)))
            return part.astype(np.float64)

        cut = self._cut(name, "weight", path)
        eps = float(cast(Any, self._supernet.get_submodule(norm)).eps)
        if own.keys() & {"running_var", "weight"} or "weight" in of_layer:
            scale = of_norm("weight") / np.sqrt(of_norm("running_var") + eps)
            part = of_layer.get("weight")
            part = cut_out(self._stored(f"{name}.weight"), cut) if part is None else part
            weight = whole(f"{name}.weight", _scaled(part, scale))
        else:
            full, full_scale = self._shared_fold(name, norm, eps)
            weight = Weight(f"{name}.weight", full, cut)
            scale = cut_out(full_scale, cut[:1])
        before: Any = 0.0
        if module.bias is not None:
            before = of_layer.get("bias")
            if before is None:
                before = cut_out(self._stored(f"{name}.bias"), self._cut(name, "bias", path))
            before = before.astype(np.float64)
        offset = of_norm("bias") + scale * (before - of_norm("running_mean"))
        bias = whole(f"{name}.bias", _shortest(offset.astype(np.float32)))
        folded = copy.copy(module)
        folded._parameters = dict(module._parameters)
        folded.bias = nn.Parameter(torch.empty(bias.shape, device="meta"))
        return folded, {"weight": weight, "bias": bias}

    def _shared_fold(self, name: str, norm: str, eps: float) -> tuple[np.ndarray, np.ndarray]:
        """The full-size weights times the scale that all paths share, and that scale.

        Which norm follows a layer may depend on the path, that of an early exit for example.
        """
        if (name, norm) not in self._folded:
            variance = self._stored(f"{norm}.running_var").astype(np.float64)
            scale = self._stored(f"{norm}.weight") / np.sqrt(variance + eps)
            folded = _scaled(self._stored(f"{name}.weight"), scale)
            self._folded[name, norm] = (folded, scale)
        return self._folded[name, norm]


def _own(layer: str, statistics: Statistics | None) -> dict[str, np.ndarray]:
    """What a path has of a layer for itself, by the name within the layer; "" for the supernet."""
    if statistics is None:
        return {}
    moments = {"running_mean": statistics.mean, "running_var": statistics.variance}
    found = {key: values[layer] for key, values in moments.items() if layer in values}
    start = f"{layer}." if layer else ""
    found |= {k.removeprefix(start): v for k, v in statistics.own.items() if k.startswith(start)}
    return {key: value.detach().cpu().numpy() for key, value in found.items()}


def _scaled(weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    by_row = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return (weight.astype(np.float64) * by_row).astype(np.float32)


def _shortest(vector: np.ndarray) -> np.ndarray:
    """In half precision if that holds it exactly, as calibration arranges for biases."""
    with np.errstate(over="ignore"):
        half = vector.astype(np.float16)
    # The rounding of the arithmetic above is 1e-7; that of half precision 5e-4.
    exact = np.allclose(half.astype(np.float32), vector, rtol=2e-6, atol=1e-7)
    return half if exact else vector


def foldable_norms(traced: Trace, modules: Mapping[str, object]) -> dict[str, str]:
    """Label of each norm that can be folded, and of the layer that it folds into."""
    readers = Counter(label for step in traced.steps for label in step.inputs)
    readers.update(traced.outputs)
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

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(0, device="meta"))

    def forward(self) -> Tensor:
        return self.value


_POOL = "adaptive_avg_pool"


class _Function(nn.Module):
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


def _item(node: fx.Node) -> int | None:
    """The index, if the node only picks one of several outputs of the node before it."""
    if node.op != "call_function" or node.target is not operator.getitem:
        return None
    index = node.args[1]
    return index if isinstance(index, int) else None
