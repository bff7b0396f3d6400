"""Batch-norm statistics of a path.

A subnetwork's activations are distributed in its own way, so each path needs statistics of its
own: without them it predicts at random (slimmable networks, arXiv 1812.08928).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.batch import Tensors, flat, placed
from tipsc.elastic import (
    Correction,
    Statistics,
    Supernet,
    corrections,
    deviation_ratio,
    extract,
    norms_with_ratio,
    scaled_variance,
)
from tipsc.errors import DataError
from tipsc.paths import Path


def calibrate(
    supernet: Supernet, path: Path, batches: Iterable[Tensors], *, own_scale: bool = False
) -> Statistics:
    """Statistics of `path` over all examples of `batches`.

    While measuring, a norm normalises with its batch's own mean and ratio (or variance), so that
    one pass calibrates all layers, each behind calibrated ones; within one batch this is exactly
    what evaluation then computes.

    Args:
        batches: inputs (N, *shape), or trees of them; 1,000 to 2,000 examples in batches of
            256 or more.
        own_scale: measure the variance of each channel. Otherwise the path keeps the running
            variance that it shares with all paths, times one number (the ratio) for each norm
            that has one.

    Returns:
        Statistics without content if the path has no batch norm.

    Raises:
        DataError: no batches.
    """
    return measure(supernet, extract(supernet, path), path, batches, own_scale=own_scale)


def measure(
    supernet: Supernet,
    module: fx.GraphModule,
    path: Path,
    batches: Iterable[Tensors],
    *,
    own_scale: bool,
) -> Statistics:
    """:func:`calibrate` on a path that is extracted already; its norms get the statistics.

    Args:
        module: ``extract(supernet, path)``.
    """
    norms = {name: m for name, m in module.named_modules() if isinstance(m, _BatchNorm)}
    if not norms:
        return Statistics(path.id)
    anchored = corrections(supernet, path)
    with_ratio = norms_with_ratio(supernet)
    meters = {}
    for name, norm in norms.items():
        scale = _Scale.OWN if own_scale else _Scale.RATIO if name in with_ratio else _Scale.SHARED
        meters[name] = _Meter(norm, scale, anchored.get(name))
    for name, meter in meters.items():
        module.set_submodule(name, meter)
    device = next(iter(norms.values())).weight.device
    with torch.inference_mode():
        for inputs in batches:
            module(*flat(placed(inputs, device)))
    for name, norm in norms.items():
        module.set_submodule(name, norm)
    mean, variance, ratio = {}, {}, {}
    for name, meter in meters.items():
        moments = meter.moments
        if not moments.count:
            raise DataError("calibration needs at least one batch", got="none")
        norm = norms[name]
        centre, spread = (v.float() for v in meter.correct(moments.mean, moments.variance))
        mean[name] = centre.cpu()
        kept = norm.get_buffer("running_var")
        if meter.scale is _Scale.OWN:
            variance[name] = spread.cpu()
            kept.copy_(spread)
        elif meter.scale is _Scale.RATIO:
            ratio[name] = float(deviation_ratio(spread, kept, norm.eps))
            kept.copy_(scaled_variance(kept, ratio[name], norm.eps))
        norm.get_buffer("running_mean").copy_(mean[name])
    return Statistics(path.id, mean, variance, ratio)


@dataclass
class Moments:
    """Mean and variance of a stream of batches of any sizes (Chan, Golub and LeVeque, 1983)."""

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    _squares: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, count: int, mean: Tensor, variance: Tensor) -> None:
        """A batch of `count` values a channel, with its mean and its biased variance."""
        total = self.count + count
        gap = _wide(mean) - self.mean
        self._squares = (
            self._squares + _wide(variance) * count + gap**2 * (self.count * count / total)
        )
        self.mean = self.mean + gap * (count / total)
        self.count = total

    def observe(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Adds a batch (N, channels, ...); its mean and its biased variance."""
        # Batch norm's own kernel: var_mean over a channels-last batch takes 10 to 30 times longer.
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)
        self.add(x.numel() // x.shape[1], mean, variance)
        return mean, variance

    @property
    def variance(self) -> Tensor:
        """Unbiased, as torch keeps it for evaluation."""
        return self._squares / max(1, self.count - 1)


class _Scale(Enum):
    """What a path's norm divides by."""

    OWN = 1
    RATIO = 2
    SHARED = 3


class _Meter(nn.Module):
    """Stands in for a batch norm: normalises with the batch's statistics and notes them."""

    def __init__(self, norm: _BatchNorm, scale: _Scale, correction: Correction | None) -> None:
        super().__init__()
        self.norm = norm
        self.scale = scale
        self.correction = correction
        self.moments = Moments()

    def correct(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """What an anchored norm makes of measured moments."""
        if self.correction is None:
            return mean, variance
        return self.correction.mean(mean), self.correction.variance(variance)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        mean, variance = self.correct(*self.moments.observe(x))
        if self.scale is not _Scale.OWN:
            measured, variance = variance, norm.get_buffer("running_var")
            if self.scale is _Scale.RATIO:
                ratio = deviation_ratio(measured, variance, norm.eps)
                variance = scaled_variance(variance, ratio, norm.eps)
        return nn.functional.batch_norm(x, mean, variance, norm.weight, norm.bias, eps=norm.eps)


def _wide(tensor: Tensor) -> Tensor:
    """In double precision, where the device has it."""
    return tensor if tensor.device.type == "mps" else tensor.double()
