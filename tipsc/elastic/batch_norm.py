"""Batch norms of a supernet: each path has statistics of its own."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.elastic.dims import Dim, at, largest, part
from tipsc.elastic.frozen_norm import Correction, frozen_norm
from tipsc.elastic.layers import Cut, ElasticLayer, cut_out
from tipsc.paths import Path

_FLAGS = ("scale_frozen", "has_ratio", "anchored")


class _ElasticBatchNorm(ElasticLayer):
    """Batch norm whose statistics must be calibrated for each path (see train.calibrate).

    While training, each batch is normalised with its own statistics. When the *scale is frozen*
    (:func:`freeze_scales`) the variance is `running_var`, the same for all paths, times one number
    that is the batch's own (``elastic.frozen_norm``), as the mean is: then all paths can share
    weights into which the norm was folded, and each needs no more than its own bias and that
    number.

    An *anchored* norm (``train.anchor``) corrects what it measures, because the data at hand differ
    from those that the model was trained on; see :class:`Correction`.
    """

    operation = "batch_norm"
    _torch_layer: type[nn.Module]
    _described = ("channels",)
    scale_frozen: Tensor
    has_ratio: Tensor
    anchored: Tensor
    mean_shift: Tensor
    variance_factor: Tensor
    variance_offset: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: Dim, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.channels = channels
        self.eps = eps
        self.momentum = momentum
        size = largest(channels)
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))
        self.register_buffer("scale_frozen", torch.zeros((), dtype=torch.bool))
        self.register_buffer("has_ratio", torch.ones((), dtype=torch.bool))
        self.register_buffer("anchored", torch.zeros((), dtype=torch.bool))
        self.register_buffer("mean_shift", torch.zeros(size))
        self.register_buffer("variance_factor", torch.ones(size))
        self.register_buffer("variance_offset", torch.zeros(size))

    def _apply(self, fn: Any, recurse: bool = True) -> _ElasticBatchNorm:
        """Moves the layer to another device, but for the flags: a GPU would be waited for at each
        of them, in every norm of every step."""
        flags = {name: self._buffers[name] for name in _FLAGS}
        super()._apply(fn, recurse)
        self._buffers.update(flags)
        return self

    @property
    def width(self) -> Dim:
        return self.channels

    @property
    def channelwise(self) -> bool:
        return True

    def cuts(self, path: Path) -> Mapping[str, Cut]:
        cut = (part(self.channels, path),)
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), cut)

    def blank(self, path: Path) -> nn.Module:
        return self._torch_layer(
            at(self.channels, path),
            eps=self.eps,
            momentum=self.momentum,
            device="meta",
        )

    def forward(self, x: Tensor, path: Path) -> Tensor:
        cut = self.cuts(path)["weight"]
        mean, variance, weight, bias = (
            cut_out(value, cut)
            for value in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        correction = self.correction(path) if self.training and self.anchored else None
        output = self._normalise(x, mean, variance, weight, bias, correction)
        if self.training and isinstance(cut[0], tuple):  # copies, not views
            self._write_back(cut[0], mean, variance)
        return output

    def _write_back(self, ranges: tuple[slice, ...], mean: Tensor, variance: Tensor) -> None:
        for place, piece in _places(ranges):
            self.running_mean[place] = mean[piece]
            self.running_var[place] = variance[piece]

    def correction(self, path: Path) -> Correction:
        """Of the channels that `path` uses."""
        cut = self.cuts(path)["weight"]
        stored = (self.mean_shift, self.variance_factor, self.variance_offset)
        return Correction(*(cut_out(value, cut) for value in stored))

    def _normalise(
        self,
        x: Tensor,
        mean: Tensor,
        variance: Tensor,
        weight: Tensor,
        bias: Tensor,
        correction: Correction | None,
    ) -> Tensor:
        if self.training and self.scale_frozen:
            output, own = frozen_norm(
                x, weight, bias, variance, self.eps, correction, bool(self.has_ratio)
            )
            with torch.no_grad():
                mean.lerp_(own, self.momentum)
            return output
        if correction is not None:
            # The corrected norm is a plain one with another weight and bias. They follow the
            # batch's variance too, but not its gradient: what is corrected is due to the data.
            with torch.no_grad():
                own, spread = (
                    moment.to(mean.dtype)
                    for moment in torch.batch_norm_update_stats(x, None, None, 0.0)
                )
                count = x.numel() // x.shape[1]
                unbiased = spread * (count / max(1, count - 1))
                mean.lerp_(correction.mean(own), self.momentum)
                variance.lerp_(correction.variance(unbiased), self.momentum)
                scale = torch.rsqrt(correction.variance(spread) + self.eps)
                ratio = scale * torch.sqrt(spread + self.eps)
            bias = bias - weight * (correction.shift * scale)
            return F.batch_norm(x, None, None, weight * ratio, bias, True, 0.0, self.eps)
        return F.batch_norm(x, mean, variance, weight, bias, self.training, self.momentum, self.eps)


class ElasticBatchNorm1d(_ElasticBatchNorm):
    """Batch norm over (N, C) or (N, C, L)."""

    _torch_layer = nn.BatchNorm1d


class ElasticBatchNorm2d(_ElasticBatchNorm):
    """Batch norm over (N, C, H, W)."""

    _torch_layer = nn.BatchNorm2d


class ElasticBatchNorm3d(_ElasticBatchNorm):
    """Batch norm over (N, C, D, H, W)."""

    _torch_layer = nn.BatchNorm3d


def freeze_scales(module: nn.Module) -> None:
    """From now on all paths normalise with the running variance, and a number of their own."""
    for layer in module.modules():
        if isinstance(layer, _ElasticBatchNorm):
            layer.scale_frozen.fill_(True)


def give_ratios(module: nn.Module, names: Container[str]) -> None:
    """Lets the batch norms of these names, and no others, have such a number.

    They all have one until then.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, _ElasticBatchNorm):
            layer.has_ratio.fill_(name in names)


def norms_with_ratio(module: nn.Module) -> set[str]:
    """Names of the batch norms whose scales are shared but for a number of each path's."""
    return {
        name
        for name, layer in module.named_modules()
        if isinstance(layer, _ElasticBatchNorm) and layer.has_ratio
    }


def corrections(module: nn.Module, path: Path) -> dict[str, Correction]:
    """Those of the anchored norms, by their names."""
    return {
        name: layer.correction(path)
        for name, layer in module.named_modules()
        if isinstance(layer, _ElasticBatchNorm) and layer.anchored
    }


def is_anchored(module: nn.Module) -> bool:
    """Whether any norm of it is."""
    return any(isinstance(m, _ElasticBatchNorm) and m.anchored for m in module.modules())


def anchor_norm(layer: nn.Module, mean: Tensor, variance: Tensor, limit: float) -> None:
    """Corrects a norm so that these moments, measured, become its running statistics.

    The variance is corrected by a factor. A channel that hardly varies on the data at hand would
    get a huge one, which the least variation on a path would be multiplied by: beyond `limit` it
    is corrected by an offset instead.

    Args:
        layer: an elastic batch norm with the statistics that it shall keep.
        mean, variance: (channels,) of its inputs on the data at hand.

    Raises:
        TypeError: the layer is none.
    """
    if not isinstance(layer, _ElasticBatchNorm):
        raise TypeError(f"{type(layer).__name__} is no elastic batch norm")
    kept, eps = layer.running_var, layer.eps
    factor = (kept + eps) / (variance + eps)
    offset = (factor - 1) * eps  # of variance plus eps, that is
    silent = factor > limit
    layer.mean_shift.copy_(layer.running_mean - mean)
    layer.variance_factor.copy_(torch.where(silent, torch.ones_like(factor), factor))
    layer.variance_offset.copy_(torch.where(silent, kept - variance, offset))
    layer.anchored.fill_(True)


def add_by_channel(layer: nn.Module, path: Path, values: Tensor, total: Tensor) -> None:
    """Adds values of the channels that `path` uses to their places among all.

    Args:
        layer: an elastic batch norm.
        values: (channels on `path`,).
        total: (channels,), changed in place.

    Raises:
        TypeError: the layer is none.
    """
    if not isinstance(layer, _ElasticBatchNorm):
        raise TypeError(f"{type(layer).__name__} is no elastic batch norm")
    cut = layer.cuts(path)["running_var"][0]
    for place, piece in _places(cut if isinstance(cut, tuple) else (cut,)):
        total[place] += values[piece]


def _places(ranges: tuple[slice, ...]) -> Iterator[tuple[slice, slice]]:
    """Where each range of a cut lies in the whole, and where in what was cut out."""
    start = 0
    for place in ranges:
        stop = start + place.stop - place.start
        yield place, slice(start, stop)
        start = stop


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a path of this supernet needs calibration."""
    return any(isinstance(layer, _ElasticBatchNorm) for layer in module.modules())
