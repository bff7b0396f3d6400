"""What a path computes once batch norms are folded into the layers before them.

A norm that directly follows a convolution or linear layer becomes part of it: the weights are
multiplied by the norm's scale, gamma / sqrt(variance + eps), and what is left is a bias,
beta - mean * scale. When all paths share the variance they share the folded weights, and each
has only its own bias vectors, and a number for each norm (:mod:`tipsc.lower.levels`). A parameter
that a path has for itself stands in for the shared one; the weights that it is folded into are then
the path's own.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.elastic.dims import Part
from tipsc.elastic.extract import plain_modules
from tipsc.elastic.frozen_norm import scaled_variance
from tipsc.elastic.layers import ElasticLayer
from tipsc.elastic.statistics import Statistics
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import Trace, input_labels, skeleton, trace
from tipsc.lower.levels import levelled
from tipsc.lower.operations import FunctionCall, Parameter, PlannedOperation, PlannedPath, item_of
from tipsc.lower.weights import Weight, cut_out, whole
from tipsc.paths import Path

_FOLDS_INTO = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


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
            gain = 1.0
            if step.module:
                module = cast(nn.Module, modules[step.module])
                if step.label in norm_of:
                    norm = str(nodes[norm_of[step.label]].target)
                    module, weights, gain = self._fold(step.module, module, norm, path, statistics)
                else:
                    weights = self._weights(step.module, module, path, statistics)
            elif step.operation == "parameter":
                module, parameter = Parameter(), str(node.target)
                holder, _, key = parameter.rpartition(".")
                value = _own(holder, statistics).get(key)
                value = self._stored(parameter) if value is None else value
                weights = {"value": whole(parameter, value)}
            else:
                module = FunctionCall(node, traced.constants)
            # A folded norm's output is its layer's output.
            inputs = tuple(norms.get(label, label) for label in step.inputs)
            operations.append(
                PlannedOperation(
                    step.label, inputs, module, weights, step.shape, step.parts, item_of(node), gain
                )
            )
        outputs = tuple(norms.get(label, label) for label in traced.outputs)
        given = self._supernet.inputs
        shapes = {label: s.shape for label, s in zip(input_labels(given), given, strict=True)}
        return levelled(PlannedPath(tuple(operations), outputs), shapes)

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
        if isinstance(module, _BatchNorm) and statistics and name in statistics.ratio:
            cut = self._cut(name, "running_var", path)
            shared = cut_out(self._stored(f"{name}.running_var"), cut).astype(np.float64)
            used = scaled_variance(torch.from_numpy(shared), statistics.ratio[name], module.eps)
            own["running_var"] = used.numpy().astype(np.float32)
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
    ) -> tuple[nn.Module, dict[str, Weight], float]:
        """A layer with a bias for the norm after it, its weights in the store, and its gain."""
        own, of_layer = _own(norm, statistics), _own(name, statistics)
        ratio = statistics.ratio.get(norm, 1.0) if statistics else 1.0
        gain = 1.0

        def of_norm(key: str) -> np.ndarray:
            part = own.get(key, cut_out(self._stored(f"{norm}.{key}"), self._cut(norm, key, path)))
            return part.astype(np.float64)

        cut = self._cut(name, "weight", path)
        eps = float(cast(Any, self._supernet.get_submodule(norm)).eps)
        if own.keys() & {"running_var", "weight"} or "weight" in of_layer:
            scale = of_norm("weight") / (ratio * np.sqrt(of_norm("running_var") + eps))
            part = of_layer.get("weight")
            part = cut_out(self._stored(f"{name}.weight"), cut) if part is None else part
            weight = whole(f"{name}.weight", _scaled(part, scale))
        else:
            full, full_scale = self._shared_fold(name, norm, eps)
            weight = Weight(f"{name}.weight", full, cut)
            scale, gain = cut_out(full_scale, cut[:1]), ratio
        before: Any = 0.0
        if module.bias is not None:
            before = of_layer.get("bias")
            if before is None:
                before = cut_out(self._stored(f"{name}.bias"), self._cut(name, "bias", path))
            before = before.astype(np.float64)
        offset = gain * of_norm("bias") + scale * (before - of_norm("running_mean"))
        bias = whole(f"{name}.bias", offset.astype(np.float32))
        folded = copy.copy(module)
        folded._parameters = dict(module._parameters)
        folded.bias = nn.Parameter(torch.empty(bias.shape, device="meta"))
        return folded, {"weight": weight, "bias": bias}, gain

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
