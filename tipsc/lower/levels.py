"""Paths that share the weights of a layer whose outputs deviate differently on each.

A norm with a path's own ratio r (``elastic.frozen_norm``) divides by r times what all paths divide
by. Folded into the layer before it, that factor would make the weights the path's own. Instead the
layer gives r times what it stands for, at a *level* of r, and the level is carried on:

    layers          are linear: the level of their input becomes their output's, if their bias, a
                    path's own anyway, is multiplied by it
    ReLU, pools,    f(a x) = a f(x), so they need nothing
    SiLU, ReLU6     compute a f(x / a) in one step, for SiLU a costlier one
    gates           multiply two tensors, and their levels
    sums            of tensors at different levels: one of them is divided
    means           over an image are small, and divided right there
    all else        gets its input divided by its level

Right after a layer a division stands as such in the graph: runtimes fold products into the weights
before them, and each path would have a copy of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from tipsc.elastic.frozen_norm import scaled_variance
from tipsc.elastic.layers import operation_of
from tipsc.lower.operations import FunctionCall, PlannedOperation, PlannedPath
from tipsc.lower.weights import Weight, whole

#: beyond this, and below its inverse, a level is divided away: half precision holds 1e-4 to 6e4
LIMIT = 16.0
_SAME = 1e-9


class _Kind(Enum):
    FOLLOWS = 1
    GATED = 2
    CLIPPED = 3
    MULTIPLIES = 4
    DIVIDES = 5
    JOINS = 6


_KINDS: Mapping[str, _Kind] = {
    **dict.fromkeys(
        (
            *("relu", "leaky_relu", "prelu", "dropout", "neg", "abs", "getitem", "identity"),
            *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
            *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "mean", "sum"),
            *("adaptive_max_pool1d", "adaptive_max_pool2d", "amax", "amin"),
            *("reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous"),
            *("permute", "transpose", "t", "clone", "expand", "select", "slice", "narrow"),
            *("chunk", "split", "split_with_sizes", "unbind", "roll", "flip", "repeat"),
            *("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "interpolate"),
            *("upsample_nearest1d", "upsample_nearest2d", "upsample_bilinear2d"),
            *("upsample_linear1d", "upsample_bicubic2d"),
        ),
        _Kind.FOLLOWS,
    ),
    **dict.fromkeys(("silu", "hardswish"), _Kind.GATED),
    **dict.fromkeys(("relu6", "hardtanh", "clamp"), _Kind.CLIPPED),
    **dict.fromkeys(("mul", "matmul", "bmm", "mm"), _Kind.MULTIPLIES),
    "div": _Kind.DIVIDES,
    **dict.fromkeys(
        ("add", "sub", "rsub", "cat", "concat", "stack", "maximum", "minimum"), _Kind.JOINS
    ),
}
_LISTS = ("cat", "concat", "stack")  # take a list of tensors
_MODULES: Mapping[type[nn.Module], _Kind] = {
    **dict.fromkeys(
        (
            *(nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Flatten, nn.PixelShuffle),
            *(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d),
            *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample),
        ),
        _Kind.FOLLOWS,
    ),
    nn.Hardtanh: _Kind.CLIPPED,
}


class Rescaled(nn.Module):
    """Divides by a number what a layer gives, or another operation."""

    def __init__(self, divisor: float, after_layer: bool) -> None:
        super().__init__()
        self.divisor, self.after_layer = divisor, after_layer

    def extra_repr(self) -> str:
        return repr(self.divisor)

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 / self.divisor)  # LiteRT has no division of 8-bit numbers


class Gated(nn.Module):
    """``x * gate(x / level)``, which is level * f(x / level) for f(x) = x * gate(x)."""

    def __init__(self, function: str, level: float) -> None:
        super().__init__()
        self.function, self.level = function, level

    def extra_repr(self) -> str:
        return f"{self.function}, {self.level!r}"

    def forward(self, x: Tensor) -> Tensor:
        scaled = x * (1 / self.level)
        gate = torch.sigmoid(scaled) if self.function == "silu" else F.relu6(scaled + 3) * (1 / 6)
        return x * gate


class Clipped(nn.Module):
    """Between two numbers; None for no border."""

    def __init__(self, low: float | None, high: float | None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def extra_repr(self) -> str:
        return f"{self.low!r}, {self.high!r}"

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)


def levelled(plan: PlannedPath, inputs: Mapping[str, Sequence[int]]) -> PlannedPath:
    """The path with each level carried to where it can be divided away at the lowest cost.

    Args:
        plan: whose operations have gains.
        inputs: shapes of the path's inputs, by their labels.

    Returns:
        `plan` itself if all gains are 1.
    """
    if all(operation.gain == 1 for operation in plan.operations):
        return plan
    return _Levels(plan, inputs).run()


class _Levels:
    def __init__(self, plan: PlannedPath, inputs: Mapping[str, Sequence[int]]) -> None:
        self._plan = plan
        self._level: dict[str, float] = dict.fromkeys(inputs, 1.0)
        self._shape = {label: tuple(shape) for label, shape in inputs.items()}
        self._shape |= {o.label: o.shape for o in plan.operations}
        readers = Counter(label for o in plan.operations for label in o.inputs)
        readers.update(plan.outputs)
        #: a product right after one of these would be folded into its weights
        self._folding = {
            o.label for o in plan.operations if _is_layer(o.module) and readers[o.label] == 1
        }
        self._made: dict[str, PlannedOperation] = {}

    def run(self) -> PlannedPath:
        now: dict[str, str] = {}  # what stands for a label
        for operation in self._plan.operations:
            moved = replace(operation, inputs=tuple(now.get(i, i) for i in operation.inputs))
            placed, level = self._place(moved)
            self._made[placed.label] = placed
            self._level[placed.label] = level
            if self._is_small(placed):
                now[placed.label] = self._at(placed.label, 1.0)
        outputs = tuple(self._at(now.get(i, i), 1.0) for i in self._plan.outputs)
        return PlannedPath(tuple(self._made.values()), outputs)

    def _place(self, operation: PlannedOperation) -> tuple[PlannedOperation, float]:
        """The operation on what is there, and the level of its output."""
        inputs, module = operation.inputs, operation.module
        if inputs and not 1 / LIMIT <= self._level[inputs[0]] <= LIMIT:
            inputs = (self._at(inputs[0], 1.0), *inputs[1:])
            operation = replace(operation, inputs=inputs)
        levels = [self._level[label] for label in inputs]
        first = levels[0] if levels else 1.0
        if _is_layer(module):
            after = first * operation.gain
            return _with_bias(operation, first), after
        if all(map(_is_one, levels)):
            return operation, 1.0
        if isinstance(module, _BatchNorm):
            return _norm_of(operation, first), 1.0
        kind = _kind_of(operation)
        if kind is _Kind.FOLLOWS:
            return self._with(operation, [first] + [1.0] * (len(levels) - 1)), first
        if kind is _Kind.GATED:
            return replace(operation, module=Gated(_name_of(operation), first)), first
        if kind is _Kind.CLIPPED:
            low, high = _borders(operation)
            borders = (None if border is None else first * border for border in (low, high))
            return replace(operation, module=Clipped(*borders)), first
        if kind is _Kind.MULTIPLIES:
            return operation, math.prod(levels)
        if kind is _Kind.DIVIDES:
            return operation, first / math.prod(levels[1:])
        if kind is _Kind.JOINS:
            common = self._common(inputs)
            return self._with(operation, [common] * len(levels)), common
        return self._with(operation, [1.0] * len(levels)), 1.0

    def _is_small(self, operation: PlannedOperation) -> bool:
        """Whether it gives so much less than it gets that dividing here costs next to nothing.

        Gates and heads begin with such a mean; behind it, all is as if there were no levels.
        """
        if _is_layer(operation.module) or len(operation.inputs) != 1 or operation.parts:
            return False
        before = math.prod(self._shape[operation.inputs[0]])
        return 8 * math.prod(operation.shape) <= before

    def _with(self, operation: PlannedOperation, levels: Sequence[float]) -> PlannedOperation:
        pairs = zip(operation.inputs, levels, strict=True)
        return replace(operation, inputs=tuple(self._at(label, level) for label, level in pairs))

    def _at(self, label: str, level: float) -> str:
        """The label of this value at a level."""
        if math.isclose(self._level[label], level, rel_tol=_SAME):
            return label
        divisor = self._level[label] / level
        made = f"{label}/{divisor:.9g}"
        if made not in self._made:
            self._made[made] = PlannedOperation(
                made, (label,), Rescaled(divisor, label in self._folding), {}, self._shape[label]
            )
            self._level[made], self._shape[made] = level, self._shape[label]
        return made

    def _common(self, labels: Sequence[str]) -> float:
        """At which level the fewest numbers must be divided, and best none right after a layer."""
        cost: Counter[float] = Counter()
        for wanted in {self._level[label] for label in labels}:
            for label in set(labels):
                if not math.isclose(self._level[label], wanted, rel_tol=_SAME):
                    cost[wanted] += 2 * math.prod(self._shape[label]) + (label in self._folding)
        return min((self._level[label] for label in labels), key=lambda level: cost[level])


def _is_one(level: float) -> bool:
    return math.isclose(level, 1.0, rel_tol=_SAME)


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | _ConvNd)


def _with_bias(operation: PlannedOperation, level: float) -> PlannedOperation:
    """A layer whose input is at a level: its bias is brought there too."""
    bias = operation.weights.get("bias")
    if bias is None or _is_one(level):
        return operation
    value = (bias.value.astype(np.float64) * level).astype(np.float32)
    return replace(operation, weights={**operation.weights, "bias": whole(bias.name, value)})


def _norm_of(operation: PlannedOperation, level: float) -> PlannedOperation:
    """A norm that no layer took in: it divides a level away for nothing."""
    weights = dict(operation.weights)
    eps = float(operation.module.eps)  # type: ignore[arg-type]

    def numbers(weight: Weight) -> Tensor:
        return torch.from_numpy(np.asarray(weight.value, np.float64))

    mean, variance = weights["running_mean"], weights["running_var"]
    moved = {
        "running_mean": (mean, numbers(mean) * level),
        "running_var": (variance, scaled_variance(numbers(variance), level, eps)),
    }
    for key, (weight, value) in moved.items():
        weights[key] = whole(weight.name, value.numpy().astype(np.float32))
    return replace(operation, weights=weights)


def _name_of(operation: PlannedOperation) -> str:
    return operation_of(operation.module) or operation.name.rstrip("_")


def _kind_of(operation: PlannedOperation) -> _Kind | None:
    """None for what is not known to carry a level."""
    module, name = operation.module, _name_of(operation)
    kind = _KINDS.get(name)
    if not isinstance(module, FunctionCall):
        return _MODULES.get(type(module)) or kind
    if not module.starts_with_tensor and name not in _LISTS:
        return None
    others = bool(module.numbers) or bool(module.named.keys() - {"alpha", "dim"})
    adds_number = kind is _Kind.JOINS and name not in _LISTS and others
    rounds = kind is _Kind.DIVIDES and "rounding_mode" in module.named
    moves = kind is _Kind.CLIPPED and len(operation.inputs) > 1  # its borders are tensors
    return None if adds_number or rounds or moves else kind


def _borders(operation: PlannedOperation) -> tuple[float | None, float | None]:
    """Between which a clip keeps its input."""
    module, name = operation.module, _name_of(operation)
    if name == "relu6":
        return 0.0, 6.0
    if isinstance(module, nn.Hardtanh):
        return float(module.min_val), float(module.max_val)
    assert isinstance(module, FunctionCall)
    keys, default = (("min_val", "max_val"), 1.0) if name == "hardtanh" else (("min", "max"), None)
    given = dict(zip(keys, module.numbers, strict=False)) | dict(module.named)
    low = given.get(keys[0], None if default is None else -default)
    return low, given.get(keys[1], default)
