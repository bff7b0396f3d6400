"""What a path costs on paper: multiply-accumulates and parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from tipsc.elastic.layers import Cut, ElasticLayer, cut_out, operation_of
from tipsc.elastic.operations import macs_of
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import Trace, TracedStep, input_labels, skeleton, trace
from tipsc.paths import Path

_KEPT = 32  # traces, of a few hundred small records each


@dataclass(frozen=True)
class Cost:
    """Of one path, for one example.

    Attributes:
        macs: multiply-accumulates of convolutions, linear layers and matrix products.
        parameters: weights that the path uses, batch-norm statistics not counted.
        steps: (label, macs) of each step that has any.
    """

    macs: int
    parameters: int
    steps: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class StepCost:
    """Of one step of a path: multiply-accumulates, and parameters that were not counted before."""

    step: TracedStep
    macs: int
    parameters: int


class CostModel:
    """Counts for many paths of one supernet; keeps a copy of it without values."""

    def __init__(self, supernet: Supernet) -> None:
        self._supernet = skeleton(supernet)
        self._traces: dict[Path, Trace] = {}

    def trace(self, path: Path) -> Trace:
        """The path's steps; those of the latest paths are kept."""
        if path not in self._traces:
            if len(self._traces) == _KEPT:
                del self._traces[next(iter(self._traces))]
            self._traces[path] = trace(self._supernet, path)
        return self._traces[path]

    def of(self, path: Path) -> Cost:
        """The cost of `path`."""
        counts = self.by_step(path)
        macs = tuple((count.step.label, count.macs) for count in counts if count.macs)
        return Cost(
            sum(count for _, count in macs), sum(count.parameters for count in counts), macs
        )

    def by_step(self, path: Path) -> tuple[StepCost, ...]:
        """The cost of each step of `path`; a module's parameters stand at its last use."""
        traced = self.trace(path)
        shapes = {step.label: step.shape for step in traced.steps}
        inputs = self._supernet.inputs
        shapes |= {k: s.shape for k, s in zip(input_labels(inputs), inputs, strict=True)}
        last = {step.module or step.label: step.label for step in traced.steps}
        return tuple(
            StepCost(
                step,
                self._macs(step, shapes, path),
                self._parameters(step, path)
                if last[step.module or step.label] == step.label
                else 0,
            )
            for step in traced.steps
        )

    def _sizes(self, name: str, path: Path) -> dict[str, tuple[int, ...]]:
        layer = self._supernet.get_submodule(name)
        cuts = layer.cuts(path) if isinstance(layer, ElasticLayer) else {}
        return {key: _shape(value, cuts.get(key)) for key, value in layer.named_parameters()}

    def _parameters(self, step: TracedStep, path: Path) -> int:
        if step.operation == "parameter":
            return math.prod(step.shape)
        if not step.module:
            return 0
        return sum(math.prod(shape) for shape in self._sizes(step.module, path).values())

    def _macs(self, step: TracedStep, shapes: dict[str, tuple[int, ...]], path: Path) -> int:
        operation, inputs = step.operation, [shapes[label] for label in step.inputs]
        if step.module:
            layer = self._supernet.get_submodule(step.module)
            operation, weight = operation_of(layer), getattr(layer, "weight", None)
            if isinstance(weight, Tensor):  # a buffer, if nobody trains it: a fixed filter
                cuts = layer.cuts(path) if isinstance(layer, ElasticLayer) else {}
                inputs.append(_shape(weight, cuts.get("weight")))
        return macs_of(operation, inputs, step.shape, step.equation)


def _shape(value: Tensor, cut: Cut | None) -> tuple[int, ...]:
    return tuple((value if cut is None else cut_out(value, cut)).shape)
