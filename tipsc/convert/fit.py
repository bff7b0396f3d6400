"""First weights for the heads of early exits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor

from tipsc.batch import placed
from tipsc.convert.converted import ConvertedSupernet, Leave
from tipsc.elastic.looking import looking
from tipsc.errors import DataError
from tipsc.paths import Path

RIDGE = 1e-3  # penalty on the weights, relative to the mean variance of a feature


def fit_exits(supernet: ConvertedSupernet, batches: Iterable[Tensor]) -> dict[int, float]:
    """Lets the head of each early exit predict the output of the largest path, in closed form.

    Ridge regression (Hoerl and Kennard, 1970) of the largest path's logits on what the head's
    linear layer reads, nothing else being narrowed. It takes a forward pass for each exit and
    batch, and no labels. A head that is a copy of the model's own, and works on each place before
    it pools, stays as it is.

    Args:
        supernet: its heads' weights are changed in place.
        batches: inputs (N, *input_shape); some hundred examples or more.

    Returns:
        For each exit that was fitted the share of the logits' variance that its head explains, on
        these examples: 1 for all of it.

    Raises:
        DataError: no examples.
    """
    whole, *early = supernet.spanning
    sums = [_Sums() for _ in supernet.leaves]
    device = next(supernet.parameters()).device
    with looking(supernet):
        for given in batches:
            inputs = placed(given, device)
            logits = supernet(inputs, whole)
            for leave, path, total in zip(supernet.leaves, early, sums, strict=True):
                total.add(_read(supernet, leave, path, inputs), logits)
    explained = {}
    for leave, total in zip(supernet.leaves, sums, strict=True):
        if total.count:
            linear = cast(Any, supernet.get_submodule(leave.linear))
            weight, bias, explained[leave.option] = total.solved(linear.bias is not None)
            with torch.no_grad():
                linear.weight.copy_(weight)
                if linear.bias is not None:
                    linear.bias.copy_(bias)
    if supernet.leaves and not any(total.seen for total in sums):
        raise DataError("heads cannot be fitted without examples", got="none")
    return explained


def _read(supernet: ConvertedSupernet, leave: Leave, path: Path, inputs: Tensor) -> Tensor:
    """What the linear layer of an exit's head reads on its path."""
    found: list[Tensor] = []
    layer = supernet.get_submodule(leave.linear)
    hook = layer.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    try:
        supernet(inputs, path)
    finally:
        hook.remove()
    return found[0]


class _Sums:
    """Moments of features and logits, in double precision."""

    def __init__(self) -> None:
        self.seen = self.count = 0
        self._sums: list[Tensor] = [torch.zeros(())] * 5

    def add(self, features: Tensor, logits: Tensor) -> None:
        self.seen += len(features)
        if features.dim() != 2:
            return
        x, y = features.double(), logits.double()
        self.count += len(x)
        new = [x.sum(0), y.sum(0), x.T @ x, x.T @ y, (y * y).sum(0)]
        self._sums = [a.to(b) + b for a, b in zip(self._sums, new, strict=True)]

    def solved(self, with_bias: bool) -> tuple[Tensor, Tensor, float]:
        """Weight (classes, features), bias (classes,), and the share of variance explained."""
        x, y, xx, xy, yy = (total / self.count for total in self._sums)
        if not with_bias:  # then the line goes through the origin
            x, y = torch.zeros_like(x), torch.zeros_like(y)
        xx, xy, yy = xx - torch.outer(x, x), xy - torch.outer(x, y), yy - y * y
        size = xx.diagonal().mean().clamp_min(1e-12)
        penalty = RIDGE * size * torch.eye(len(x), dtype=x.dtype, device=x.device)
        weight = torch.linalg.solve(xx + penalty, xy)
        left = yy - 2 * (weight * xy).sum(0) + (weight * (xx @ weight)).sum(0)
        explained = 1 - float(left.sum() / yy.sum().clamp_min(1e-12))
        return weight.T, y - weight.T @ x, explained
