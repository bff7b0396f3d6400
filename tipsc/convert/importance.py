"""Which units matter most: an exact permutation puts them first."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tipsc.convert.choices import Plan
from tipsc.convert.program import Program
from tipsc.convert.units import Axis, Structure, UnitSet, term_size
from tipsc.elastic.looking import at_rest

Importance: TypeAlias = Callable[[nn.Module], Mapping[str, Tensor]]
"""Gives for a model the importance of each value of (some of) its parameters, by name, >= 0."""


def norms(model: nn.Module) -> Mapping[str, Tensor]:
    """Without data: the square of each weight over the mean square of its tensor."""
    return _Norms(model)


class _Norms(Mapping[str, Tensor]):
    """Computed one by one when they are read: all at once are as large as the model."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())

    def __getitem__(self, name: str) -> Tensor:
        squares = self._parameters[name].detach().float() ** 2
        return squares.div_(squares.sum().clamp_min(1e-12 * max(1, squares.numel())))

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)


def taylor(
    batches: Iterable[tuple[Tensor, Tensor]], loss: Callable[[Tensor, Tensor], Tensor]
) -> Importance:
    """With data: the squared first-order change of the loss if a weight were zero.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019.

    Args:
        batches: (inputs, targets); a few hundred examples are enough.
        loss: of outputs and targets.
    """

    def importance(model: nn.Module) -> dict[str, Tensor]:
        parameters = {n: p for n, p in model.named_parameters() if p.is_floating_point()}
        wanted = {name: p.requires_grad for name, p in parameters.items()}
        found = {name: torch.zeros_like(p) for name, p in parameters.items()}
        with at_rest(model):
            try:
                model.requires_grad_()  # a frozen layer's units matter too
                for inputs, targets in batches:
                    with torch.enable_grad():
                        gradients = torch.autograd.grad(
                            loss(model(inputs), targets),
                            list(parameters.values()),
                            allow_unused=True,
                        )
                    for (name, p), gradient in zip(parameters.items(), gradients, strict=True):
                        if gradient is not None:
                            found[name] += (gradient * p.detach()) ** 2
            finally:
                for name, p in parameters.items():
                    p.requires_grad_(wanted[name])
        return found

    return importance


def permuted(
    program: Program, structure: Structure, plan: Plan, importance: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Copies of all tensors, elastic units in the order of their importance."""
    scores = {e.units: torch.zeros(e.units.size, dtype=torch.float64) for e in plan.elastic}
    for node, name in program.tensors.items():
        if not any(_lies_on(axis, scores) for axis in structure.axes[node]):
            continue
        values = importance.get(program.sources.get(name, name))
        if values is None or values.shape != program.values[name].shape:
            continue
        for place, axis in enumerate(structure.axes[node]):
            others = [d for d in range(values.dim()) if d != place]
            line = values.sum(others, dtype=torch.float64) if others else values.double()
            _add(scores, axis, line)
    order = {units: torch.argsort(-score, stable=True) for units, score in scores.items()}
    result = {}
    for node, name in program.tensors.items():
        original = program.values[name]
        value = original.detach()
        for place, axis in enumerate(structure.axes[node]):
            index = _index(axis, order)
            if index is not None:
                value = value.index_select(place, index.to(value.device))
        value = value if value.data_ptr() != original.data_ptr() else value.clone()
        value = value.contiguous()
        result[name] = (
            nn.Parameter(value, original.requires_grad)
            if isinstance(original, nn.Parameter)
            else value
        )
    return result


def _add(scores: Mapping[UnitSet, Tensor], axis: Axis, line: Tensor) -> None:
    start = 0
    for term in axis:
        size = term_size(term)
        block = line[start : start + size].reshape([u.size for u in term])
        start += size
        for place, units in enumerate(term):
            if units in scores:
                others = [d for d in range(block.dim()) if d != place]
                scores[units] += block.sum(others) if others else block


def _lies_on(axis: Axis, wanted: Container[UnitSet]) -> bool:
    """Whether some of these units lie on the axis."""
    return any(units in wanted for term in axis for units in term)


def _index(axis: Axis, order: Mapping[UnitSet, Tensor]) -> Tensor | None:
    """For each place of the axis the old place of what stands there; None if nothing moves."""
    if not _lies_on(axis, order):
        return None
    pieces, start = [], 0
    for term in axis:
        index = torch.zeros(1, dtype=torch.long)
        for units in term:
            own = order.get(units, torch.arange(units.size))
            index = (index[:, None] * units.size + own[None, :]).flatten()
        pieces.append(start + index)
        start += term_size(term)
    return torch.cat(pieces)
