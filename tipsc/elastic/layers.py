"""Elastic layers: torch's layers, of which a path uses a part.

A layer holds its weights in the largest size. On a path it uses a prefix of the channels and the
centre of the kernel, so that paths share weights. ``layer(x, path)`` computes with that part;
``layer.plain(path)`` is the torch layer that computes the same; ``layer.cuts(path)`` says which
part of each tensor it is. The path is an argument of each call: a layer has no current path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.elastic.dims import Dim, Part, at, largest
from tipsc.elastic.operations import LAYERS
from tipsc.paths import Path

Cut: TypeAlias = tuple[Part, ...]
"""For each axis of a tensor, the part that a path uses."""


def cut_out(value: Tensor, cut: Cut) -> Tensor:
    """The part of a tensor; a view of it, unless an axis is cut into several ranges."""
    value = value[tuple(slice(None) if isinstance(p, tuple) else p for p in cut)]
    for axis, ranges in enumerate(cut):
        if isinstance(ranges, tuple):
            pieces = [value.narrow(axis, r.start, r.stop - r.start) for r in ranges]
            value = torch.cat(pieces, axis)
    return value


class ElasticLayer(nn.Module):
    """A layer with parameters of which a path uses a part.

    A subclass gives :meth:`cuts` and :meth:`blank`; then :meth:`plain` and :meth:`part` work.

    Attributes:
        operation: what it computes, as :mod:`tipsc.elastic.operations` calls it; "" if nothing
            is said of it there.
    """

    operation: str = ""

    def cuts(self, path: Path) -> Mapping[str, Cut]:
        """For each parameter and buffer that is cut: the part that `path` uses."""
        raise NotImplementedError

    def blank(self, path: Path) -> nn.Module:
        """The torch layer of the sizes on `path`, on the meta device: without values."""
        raise NotImplementedError

    def part(self, name: str, path: Path) -> Tensor:
        """The part of one parameter or buffer that `path` uses; see :func:`cut_out`."""
        return cut_out(getattr(self, name), self.cuts(path)[name])

    def plain(self, path: Path) -> nn.Module:
        """The torch layer that computes on `path` what this layer does; weights are copied."""
        cuts = self.cuts(path)
        device = getattr(self, next(iter(cuts))).device
        module = self.blank(path).to_empty(device=device).train(self.training)
        with torch.no_grad():
            for name in cuts:
                getattr(module, name).copy_(self.part(name, path))
            for name, counter in module.named_buffers():
                if name not in cuts:
                    counter.zero_()
        return module

    def extra_repr(self) -> str:
        return ", ".join(
            f"{key}={value}" for key, value in vars(self).items() if key in self._described
        )

    @property
    def width(self) -> Dim:
        """The size of the output's channels."""
        raise NotImplementedError

    @property
    def channelwise(self) -> bool:
        """Whether each channel of the output reads only the same channel of the input."""
        return False

    _described: tuple[str, ...] = ()


def operation_of(module: nn.Module) -> str:
    """The operation that a layer computes, elastic or torch's; "" if nothing is known of it."""
    return module.operation if isinstance(module, ElasticLayer) else LAYERS.get(type(module), "")


def _prefix(*sizes: int) -> Cut:
    return tuple(slice(0, size) for size in sizes)


def _centre(kernel: int, full: int) -> slice:
    start = (full - kernel) // 2
    return slice(start, start + kernel)


class _ElasticConv(ElasticLayer):
    """Convolution over `_rank` axes; padding keeps the size at stride 1 for odd kernels."""

    _rank: int
    _torch_layer: type[nn.Module]
    _described = ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups")

    def __init__(
        self,
        in_channels: Dim,
        out_channels: Dim,
        kernel_size: Dim,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: Dim = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.dilation = dilation
        self.groups = groups
        full = self._torch_layer(
            largest(in_channels),
            largest(out_channels),
            largest(kernel_size),
            groups=largest(groups),
            bias=bias,
        )
        self.weight = full.weight
        self.bias = full.bias

    @property
    def width(self) -> Dim:
        return self.out_channels

    @property
    def channelwise(self) -> bool:
        return self.groups == self.in_channels == self.out_channels

    def _padding(self, path: Path) -> int:
        return self.dilation * (at(self.kernel_size, path) - 1) // 2

    def cuts(self, path: Path) -> Mapping[str, Cut]:
        outputs = at(self.out_channels, path)
        inputs = at(self.in_channels, path) // at(self.groups, path)
        kernel = _centre(at(self.kernel_size, path), largest(self.kernel_size))
        cuts = {"weight": _prefix(outputs, inputs) + (kernel,) * self._rank}
        if self.bias is not None:
            cuts["bias"] = _prefix(outputs)
        return cuts

    def blank(self, path: Path) -> nn.Module:
        return self._torch_layer(
            at(self.in_channels, path),
            at(self.out_channels, path),
            at(self.kernel_size, path),
            stride=self.stride,
            padding=self._padding(path),
            dilation=self.dilation,
            groups=at(self.groups, path),
            bias=self.bias is not None,
            device="meta",
        )

    def forward(self, x: Tensor, path: Path) -> Tensor:
        convolve: Any = F.conv1d if self._rank == 1 else F.conv2d
        return convolve(
            x,
            self.part("weight", path),
            None if self.bias is None else self.part("bias", path),
            stride=self.stride,
            padding=self._padding(path),
            dilation=self.dilation,
            groups=at(self.groups, path),
        )


class ElasticConv1d(_ElasticConv):
    """Conv1d, (N, C, L); see :class:`ElasticConv2d`."""

    operation = "conv1d"
    _rank, _torch_layer = 1, nn.Conv1d


class ElasticConv2d(_ElasticConv):
    """Conv2d, (N, C, H, W), whose channels and kernel size may depend on the path.

    Args:
        in_channels, out_channels: prefixes of the stored channels.
        kernel_size: a smaller kernel is the centre of the stored one; use odd sizes.
        groups: keep it fixed, or equal to both channels (depthwise).
    """

    operation = "conv2d"
    _rank, _torch_layer = 2, nn.Conv2d


class ElasticDepthwiseConv1d(ElasticConv1d):
    """A Conv1d with one filter for each channel."""

    def __init__(self, channels: Dim, kernel_size: Dim, *, stride: int = 1, dilation: int = 1):
        super().__init__(
            channels, channels, kernel_size, stride=stride, dilation=dilation, groups=channels
        )


class ElasticDepthwiseConv2d(ElasticConv2d):
    """A Conv2d with one filter for each channel."""

    def __init__(self, channels: Dim, kernel_size: Dim, *, stride: int = 1, dilation: int = 1):
        super().__init__(
            channels, channels, kernel_size, stride=stride, dilation=dilation, groups=channels
        )


class ElasticLinear(ElasticLayer):
    """Linear on the last axis, (..., in_features) -> (..., out_features)."""

    operation = "linear"
    _described = ("in_features", "out_features")

    def __init__(self, in_features: Dim, out_features: Dim, *, bias: bool = True) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        full = nn.Linear(largest(in_features), largest(out_features), bias=bias)
        self.weight = full.weight
        self.bias = full.bias

    @property
    def width(self) -> Dim:
        return self.out_features

    def cuts(self, path: Path) -> Mapping[str, Cut]:
        outputs, inputs = at(self.out_features, path), at(self.in_features, path)
        cuts = {"weight": _prefix(outputs, inputs)}
        if self.bias is not None:
            cuts["bias"] = _prefix(outputs)
        return cuts

    def blank(self, path: Path) -> nn.Module:
        return nn.Linear(
            at(self.in_features, path),
            at(self.out_features, path),
            bias=self.bias is not None,
            device="meta",
        )

    def forward(self, x: Tensor, path: Path) -> Tensor:
        bias = None if self.bias is None else self.part("bias", path)
        return F.linear(x, self.part("weight", path), bias)


class ElasticLayerNorm(ElasticLayer):
    """LayerNorm over the last axis, of which a path may use a prefix."""

    operation = "layer_norm"
    _described = ("size",)

    def __init__(self, size: Dim, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.size = size
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(largest(size)))
        self.bias = nn.Parameter(torch.zeros(largest(size)))

    @property
    def width(self) -> Dim:
        return self.size

    def cuts(self, path: Path) -> Mapping[str, Cut]:
        cut = _prefix(at(self.size, path))
        return {"weight": cut, "bias": cut}

    def blank(self, path: Path) -> nn.Module:
        return nn.LayerNorm(at(self.size, path), eps=self.eps, device="meta")

    def forward(self, x: Tensor, path: Path) -> Tensor:
        size = (at(self.size, path),)
        return F.layer_norm(x, size, self.part("weight", path), self.part("bias", path), self.eps)
