"""A batch norm in training whose scale is frozen: shared deviations times one number of the batch.

With u = gamma / (r sqrt(s + eps)), where all paths share the variance s, and m and v are the
batch's own mean and variance,

    y = u (x - m) + beta,    log r = mean over the channels of log((v + eps) / (s + eps)) / 2.

Each layer of a narrow path adds fewer products, so that all its channels deviate less, by much the
same factor; behind several layers the factors multiply. One number a norm corrects that, and needs
no weights of a path's own (``lower.levels``). The geometric mean keeps a channel that hardly varies
from deciding for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Correction:
    """What an anchored norm (``train.anchor``) makes of the moments that it measures.

    Attributes:
        shift: (channels,) added to the mean.
        factor, offset: (channels,) of the variance, ``factor * variance + offset``.
    """

    shift: Tensor
    factor: Tensor
    offset: Tensor

    def mean(self, measured: Tensor) -> Tensor:
        return measured + self.shift

    def variance(self, measured: Tensor) -> Tensor:
        return (measured * self.factor + self.offset).clamp_min(0)


def deviation_ratio(variance: Tensor, shared: Tensor, eps: float) -> Tensor:
    """By how much a path's deviations are larger than the shared ones, r above; a scalar.

    Args:
        variance: (channels,) the path's.
        shared: (channels,) the one that all paths share.
    """
    return torch.exp(0.5 * torch.log((variance + eps) / (shared + eps)).mean())


def scaled_variance(shared: Tensor, ratio: float | Tensor, eps: float) -> Tensor:
    """The variance of a plain norm that computes the same; (channels,).

    Args:
        shared: (channels,) the one that all paths share.
        ratio: the path's :func:`deviation_ratio`.
    """
    return (shared + eps) * ratio**2 - eps


def frozen_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    shared: Tensor,
    eps: float,
    correction: Correction | None,
    by_ratio: bool = True,
) -> tuple[Tensor, Tensor]:
    """The normalised batch, and the mean that it was normalised with.

    Args:
        x: (N, channels, ...).
        weight, bias, shared: (channels,).
        correction: of an anchored norm.
        by_ratio: whether r above is measured; otherwise it is 1.
    """
    y, mean = _FrozenNorm.apply(x, weight, bias, shared, eps, correction, by_ratio)
    return y, mean


class _FrozenNorm(torch.autograd.Function):
    """Batch norm's own kernels do the sums: ``var_mean`` takes 10 to 30 times longer on batches
    with their channels last. The gradient passes through m and v; without v's, weights could grow
    at no loss.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        shared: Tensor,
        eps: float,
        correction: Correction | None,
        by_ratio: bool,
    ) -> tuple[Tensor, Tensor]:
        moments = torch.batch_norm_update_stats(x, None, None, 0.0)
        # In mixed precision x has 16 bits, and all else has not.
        measured, spread = (moment.to(shared.dtype) for moment in moments)
        mean, variance = measured, spread
        if correction is not None:
            mean, variance = correction.mean(measured), correction.variance(spread)
        ratio = deviation_ratio(variance, shared, eps) if by_ratio else shared.new_ones(())
        inverse = 1 / (torch.sqrt(shared + eps) * ratio)
        ctx.save_for_backward(x, weight, measured, spread, mean, variance, inverse)
        ctx.eps, ctx.correction, ctx.by_ratio = eps, correction, by_ratio
        ctx.mark_non_differentiable(mean)
        used = scaled_variance(shared, ratio, eps)
        return F.batch_norm(x, mean, used, weight, bias, False, 0.0, eps), mean

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, measured, spread, mean, variance, inverse = ctx.saved_tensors
        channels, count = x.shape[1], x.numel() // x.shape[1]
        own = torch.rsqrt(spread + ctx.eps)
        scale = weight * inverse
        # The kernel's is the gradient of a norm by the batch's own deviations with the same output.
        by_x, by_own, by_bias = torch.ops.aten.native_batch_norm_backward(
            *(gradient.contiguous(memory_format=_format(x)), x, scale / own, None, None, measured),
            *(own, True, ctx.eps, [True, True, True]),
        )
        by_weight = inverse * (by_own / own - (mean - measured) * by_bias)
        # It lets each channel's own variance follow x; here only their common ratio does.
        pull = (weight * by_weight).sum() / (channels * (variance + ctx.eps)) * ctx.by_ratio
        if ctx.correction is not None:
            pull = pull * ctx.correction.factor * (variance > 0)
        slope = (scale * own * by_own - pull) / count
        one = torch.full_like(spread, 1 - ctx.eps)
        pulled = F.batch_norm(x, measured, one, slope, None, False, 0.0, ctx.eps)
        return by_x.add_(pulled), by_weight, by_bias, None, None, None, None


def _format(x: Tensor) -> torch.memory_format:
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
