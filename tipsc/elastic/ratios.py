"""Which norms have a ratio of their own (``elastic.frozen_norm``): those where it costs little.

In an engine a ratio goes on as a factor of all that a layer gives, until something takes it in
(``lower.levels``). Layers, ReLU and pools pass it on for nothing; before SiLU or ReLU6 all values
must be divided. What a norm there leaves uncorrected, another one corrects as well, if it is near.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property

from torch import nn

from tipsc.elastic.batch_norm import (
    _ElasticBatchNorm,
    give_ratios,
    has_batch_norm,
    norms_with_ratio,
)
from tipsc.elastic.layers import operation_of
from tipsc.elastic.operations import ACTIVATIONS, HOMOGENEOUS, arithmetic_of, no_macs
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import Trace, TracedStep, skeleton, trace

#: within so many layers a norm corrects what one before it has left
NEAR = 3


def settle_ratios(supernet: Supernet) -> None:
    """Lets each batch norm have a ratio that had better have one, and no other."""
    if has_batch_norm(supernet):
        give_ratios(supernet, norms_with_ratio(supernet) - _without_ratio(supernet))


def _without_ratio(supernet: Supernet) -> set[str]:
    bare = skeleton(supernet)
    return {
        norm for path in bare.spanning for norm in _Steps(bare, trace(bare, path)).without_ratio()
    }


class _Steps:
    """What follows what on one path."""

    def __init__(self, supernet: Supernet, traced: Trace) -> None:
        self._supernet = supernet
        self._steps = {step.label: step for step in traced.steps}
        self._readers: dict[str, list[TracedStep]] = defaultdict(list)
        for step in traced.steps:
            for label in set(step.inputs):
                self._readers[label].append(step)

    def without_ratio(self) -> set[str]:
        kept: set[str] = set()
        for label in reversed(self._steps):  # the last one first: nothing corrects what it leaves
            if label in self._norms and not (self._is_costly(label) and self._is_near(kept, label)):
                kept.add(label)
        return {name for label, name in self._norms.items() if label not in kept}

    @cached_property
    def _norms(self) -> Mapping[str, str]:
        """Their names, by label."""
        return {
            step.label: step.module
            for step in self._steps.values()
            if isinstance(self._layer(step), _ElasticBatchNorm)
        }

    def _layer(self, step: TracedStep) -> nn.Module | None:
        return self._supernet.get_submodule(step.module) if step.module else None

    def _operation(self, step: TracedStep) -> str:
        layer = self._layer(step)
        return step.operation.rstrip("_") if layer is None else operation_of(layer)

    def _is_costly(self, label: str) -> bool:
        """Whether all values that follow this one must be divided."""
        for step in self._readers[label]:
            operation = self._operation(step)
            if operation in ACTIVATIONS and operation not in HOMOGENEOUS:
                return True
            takes_in = (
                arithmetic_of(operation).macs is not no_macs
                or step.label in self._norms
                or len(step.inputs) > 1
                or 8 * math.prod(step.shape) <= math.prod(self._steps[label].shape)
            )
            if not takes_in and self._is_costly(step.label):
                return True
        return False

    def _is_near(self, kept: set[str], label: str, layers: int = 0) -> bool:
        """Whether one of those follows within a few layers."""
        for step in self._readers[label]:
            if step.label in kept:
                return True
            passed = layers + (arithmetic_of(self._operation(step)).macs is not no_macs)
            if passed <= NEAR and self._is_near(kept, step.label, passed):
                return True
        return False
