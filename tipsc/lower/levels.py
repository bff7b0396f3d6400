"""Paths that share the weights of a layer whose outputs deviate differently on each.

A norm with a path's own ratio r (``elastic.frozen_norm``) divides by r times what all paths divide
by. Folded into the layer before it, that factor would make the weights the path's own. Instead the
layer gives r times what it stands for, at a *level* of r, and the level is carried on:

    layers          are linear: the level of their input becomes their output's, if their bias, a
                    path's own anyway, is multiplied by it
    ReLU, pools     f(a x) = a f(x), so they need nothing
    gates           multiply two tensors, and their levels
    sums            of tensors at different levels: those are divided, or all but one
    means           over an image are small, and divided right there
    all else        gets its input divided by its level, SiLU and ReLU6 too

What several operations read is divided once for all of them. Where each division stands in the end
:mod:`tipsc.lower.divisions` finds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.elastic.frozen_norm import scaled_variance
from tipsc.lower.divisions import Rescaled, moved, with_bias_at
from tipsc.lower.kinds import Carrying, is_layer, kind_of
from tipsc.lower.operations import PlannedOperation, PlannedPath
from tipsc.lower.weights import Weight, whole

#: beyond this, and below its inverse, a level is divided away: half precision holds 1e-4 to 6e4
LIMIT = 16.0
_SAME = 1e-9


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
    return moved(_Levels(plan, inputs).run(), {k: tuple(v) for k, v in inputs.items()})


class _Levels:
    def __init__(self, plan: PlannedPath, inputs: Mapping[str, Sequence[int]]) -> None:
        self._plan = plan
        self._level: dict[str, float] = dict.fromkeys(inputs, 1.0)
        self._shape = {label: tuple(shape) for label, shape in inputs.items()}
        self._shape |= {o.label: o.shape for o in plan.operations}
        self._readers = Counter(label for o in plan.operations for label in o.inputs)
        self._readers.update(plan.outputs)
        self._made: dict[str, PlannedOperation] = {}

    def run(self) -> PlannedPath:
        now: dict[str, str] = {}  # what stands for a label
        for operation in self._plan.operations:
            moved = replace(operation, inputs=tuple(now.get(i, i) for i in operation.inputs))
            placed, level = self._place(moved)
            self._made[placed.label] = placed
            self._level[placed.label] = level
            shared = self._readers[placed.label] > 1 and not placed.parts
            if shared or self._is_small(placed):
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
        if is_layer(module):
            after = first * operation.gain
            return with_bias_at(operation, first), after
        if all(map(_is_one, levels)):
            return operation, 1.0
        if isinstance(module, _BatchNorm):
            return _norm_of(operation, first), 1.0
        kind = kind_of(operation)
        if kind is Carrying.FOLLOWS:
            return self._with(operation, [first] + [1.0] * (len(levels) - 1)), first
        if kind is Carrying.MULTIPLIES:
            return operation, math.prod(levels)
        if kind is Carrying.DIVIDES:
            return operation, first / math.prod(levels[1:])
        if kind is Carrying.JOINS:
            common = 1.0 if any(map(_is_one, levels)) else first
            return self._with(operation, [common] * len(levels)), common
        return self._with(operation, [1.0] * len(levels)), 1.0

    def _is_small(self, operation: PlannedOperation) -> bool:
        """Whether it gives so much less than it gets that dividing here costs next to nothing.

        Gates and heads begin with such a mean; behind it, all is as if there were no levels.
        """
        if is_layer(operation.module) or len(operation.inputs) != 1 or operation.parts:
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
                made, (label,), Rescaled(divisor), {}, self._shape[label]
            )
            self._level[made], self._shape[made] = level, self._shape[label]
        return made


def _is_one(level: float) -> bool:
    return math.isclose(level, 1.0, rel_tol=_SAME)


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
