"""Which units matter most: an exact permutation puts them first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tipsc.elastic.conversion import axes as ax
from tipsc.elastic.conversion.axes import Axis, Group
from tipsc.elastic.conversion.capture import Program
from tipsc.elastic.conversion.choices import Plan
from tipsc.elastic.conversion.rules import Analysis

Importance: TypeAlias = Callable[[nn.Module], Mapping[str, Tensor]]
"""Gives for a model the importance of each value of (some of) its parameters, by name, >= 0."""


def norms(model: nn.Module) -> dict[str, Tensor]:
    """Without data: the square of each weight over the mean square of its tensor."""
    found = {}
    for name, value in model.named_parameters():
        squares = value.detach().float() ** 2
        found[name] = squares / squares.mean().clamp_min(1e-12) / squares.numel()
    return found


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
        training = {module: module.training for module in model.modules()}
        model.eval()
        parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        found = {name: torch.zeros_like(p) for name, p in parameters.items()}
        for inputs, targets in batches:
            with torch.enable_grad():
                gradients = torch.autograd.grad(
                    loss(model(inputs), targets), list(parameters.values()), allow_unused=True
                )
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
                if gradient is not None:
                    found[name] += (gradient * parameter.detach()) ** 2
        for module, mode in training.items():
            module.training = mode
        return found

    return importance


def permuted(
    program: Program, analysis: Analysis, plan: Plan, importance: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Copies of all tensors, the units of each elastic group in the order of their importance."""
    scores = {e.group: torch.zeros(e.group.size, dtype=torch.float64) for e in plan.elastic}
    for node, name in program.tensors.items():
        values = importance.get(name)
        if values is None or values.shape != program.values[name].shape:
            continue
        for place, axis in enumerate(analysis.axes[node]):
            others = [d for d in range(values.dim()) if d != place]
            line = values.double().sum(others) if others else values.double()
            _add(scores, axis, line)
    order = {group: torch.argsort(-score, stable=True) for group, score in scores.items()}
    result = {}
    for node, name in program.tensors.items():
        original = program.values[name]
        value = original.detach()
        for place, axis in enumerate(analysis.axes[node]):
            index = _index(ax.settled(axis), order)
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


def _add(scores: Mapping[Group, Tensor], axis: Axis, line: Tensor) -> None:
    start = 0
    for term in ax.settled(axis):
        size = ax.term_size(term)
        block = line[start : start + size].reshape([g.size for g in term])
        start += size
        for place, group in enumerate(term):
            if group.root in scores:
                others = [d for d in range(block.dim()) if d != place]
                scores[group.root] += block.sum(others) if others else block


def _index(axis: Axis, order: Mapping[Group, Tensor]) -> Tensor | None:
    """For each place of the axis the old place of what stands there; None if nothing moves."""
    if not any(group.root in order for term in axis for group in term):
        return None
    pieces, start = [], 0
    for term in axis:
        index = torch.zeros(1, dtype=torch.long)
        for group in term:
            own = order.get(group.root, torch.arange(group.size))
            index = (index[:, None] * group.size + own[None, :]).flatten()
        pieces.append(start + index)
        start += math.prod(g.size for g in term)
    return torch.cat(pieces)
