"""Which layer of a path it is that a compiler gets wrong.

The path is compiled once more, with the output of each of its steps as a part of its answer. The
first part that differs is the layer: what it reads was right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.batch import Tensors, arrays, flat
from tipsc.convert.check import difference
from tipsc.device.measuring import Arrays
from tipsc.elastic import Supernet
from tipsc.elastic.extract import extract_traced
from tipsc.elastic.looking import looking
from tipsc.elastic.trace import TracedStep, skeleton, trace
from tipsc.paths import SearchSpace
from tipsc.search.candidates import Candidate

#: gives the compiled form of a net's only path: one example (1, ...) to an answer (1, ...)
CompileAlone = Callable[["TappedPath"], Callable[[Arrays], Arrays]]


@dataclass(frozen=True)
class WrongLayer:
    """A step whose inputs are right and whose output is not.

    Attributes:
        label: of the step, the same on all paths.
        layer: in the user's model, or where the step stands in it; "" for none.
        kind: the layer's class, or the function's name.
        difference: largest of its output's, relative to the largest value of the output.
    """

    label: str
    layer: str
    kind: str
    difference: float

    def __str__(self) -> str:
        return f"{self.layer} ({self.kind})" if self.layer else self.kind


class TappedPath(Supernet):
    """One path that answers with the outputs of its steps, side by side: (1, values).

    Attributes:
        taps: the steps that are seen, and how many values each gives, in their order.
    """

    def __init__(self, supernet: Supernet, candidate: Candidate, example: Tensors) -> None:
        super().__init__(SearchSpace(()), supernet.inputs)
        traced = trace(skeleton(supernet), candidate.path)
        by_label = {step.label: step for step in traced.steps}
        steps = [by_label.get(label) for _, label in traced.nodes()]
        self.net = extract_traced(supernet, traced, candidate.statistics)
        self.taps = _tap(self.net, steps, _Values(self.net).of(example))

    def forward(self, *given: Any) -> Tensor:
        """Of the tensors (1, ...) of one example; the path makes no difference."""
        answer: Tensor = self.net(*given[:-1])
        return answer


def first_wrong(
    supernet: Supernet,
    candidate: Candidate,
    example: Tensors,
    compile_alone: CompileAlone,
    tolerance: float,
) -> WrongLayer | None:
    """The first layer of a path whose compiled form differs from torch; None if each is right.

    Args:
        example: inputs of one that the path as a whole was wrong on.
        tolerance: largest difference allowed, relative to the largest value of an output.
    """
    tapped = TappedPath(supernet, candidate, example)
    with looking(tapped):
        expected = tapped.net(*flat(example))
    (answer,) = compile_alone(tapped)(arrays(example))
    got = torch.from_numpy(answer)
    modules, start = dict(supernet.named_modules()), 0
    for step, size in tapped.taps:
        part = slice(start, start + size)
        apart = difference(got[:, part], expected[:, part])
        if not apart <= tolerance:
            kind = type(modules[step.module]).__name__ if step.module else step.operation
            return WrongLayer(step.label, _layer_of(step), kind, apart)
        start += size
    return None


def _layer_of(step: TracedStep) -> str:
    """A function stands in the scope of a layer, under its own name: ``pool.avg_pool2d``."""
    if step.module:
        return step.module
    scope, _, function = step.label.partition("#")[0].rpartition(".")
    return scope.removesuffix(function).removesuffix(".")


class _Values(fx.Interpreter):
    """Runs a module step by step and keeps what each gives."""

    def of(self, example: Tensors) -> dict[fx.Node, object]:
        self.kept: dict[fx.Node, object] = {}
        with looking(self.module):
            self.run(*flat(example))
        return self.kept

    def run_node(self, n: fx.Node) -> object:
        self.kept[n] = value = super().run_node(n)
        return value


def _tap(
    net: fx.GraphModule, steps: Sequence[TracedStep | None], values: Mapping[fx.Node, object]
) -> tuple[tuple[TracedStep, int], ...]:
    """Lets the module answer with the outputs of its steps; says which these are.

    Args:
        steps: of each node that computes; None for what is no step.
    """
    modules, graph = dict(net.named_modules()), net.graph
    end = next(node for node in reversed(graph.nodes) if node.op == "output")
    computing = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    seen, parts = [], []
    for node, step in zip(computing, steps, strict=True):
        value = values[node]
        # What reads nothing is stored, and not computed.
        if step is None or not isinstance(value, Tensor) or not step.inputs:
            continue
        # Between a layer and its norm there is nothing to see: they are compiled as one.
        folds = any(isinstance(modules.get(str(user.target)), _BatchNorm) for user in node.users)
        if value.dtype == torch.float32 and not folds:
            with graph.inserting_before(end):
                parts.append(graph.call_method("reshape", (node, 1, -1)))
            seen.append((step, value.numel()))
    with graph.inserting_before(end):
        end.args = (graph.call_function(torch.cat, (parts, 1)),)
    net.recompile()
    return tuple(seen)
