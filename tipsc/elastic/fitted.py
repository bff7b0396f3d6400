"""Elastic layers made to the measure of given torch layers.

They have any stride, padding, dilation and groups, and each axis of each tensor may be a
:class:`~tipsc.elastic.dims.Layout`. The tensors are given, not made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.elastic.dims import Dim, at, choices_of, part
from tipsc.elastic.layers import Cut, ElasticLayer
from tipsc.elastic.operations import LAYERS
from tipsc.paths import Choice, Path


class FittedLayer(ElasticLayer):
    """A layer whose tensors were given together with the sizes of their axes.

    Args:
        tensors: by name; None is kept as None. A parameter stays the same object.
        dims: for each tensor the size of each axis.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor | None], dims: Mapping[str, tuple[Dim, ...]]
    ) -> None:
        super().__init__()
        self._dims = dict(dims)
        for name, tensor in tensors.items():
            if tensor is None or isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)

    def cuts(self, path: Path) -> Mapping[str, Cut]:
        return {
            name: tuple(part(dim, path) for dim in dims)
            for name, dims in self._dims.items()
            if getattr(self, name) is not None
        }

    def _maybe(self, name: str, path: Path) -> Tensor | None:
        return None if getattr(self, name) is None else self.part(name, path)


class FittedConv(FittedLayer):
    """A convolution, transposed or not, (N, C, ...).

    Args:
        torch_layer: nn.Conv1d to nn.ConvTranspose3d.
        groups: may depend on the path.
        settings: stride, padding, dilation and, if transposed, output_padding.
        kernel: of the sizes, odd, of which a path uses the middle; padding is then that of the
            largest, and large enough. None: the kernel keeps its size.
    """

    _described = ("in_channels", "out_channels", "groups", "kernel", "settings")

    def __init__(
        self,
        torch_layer: type[nn.Module],
        in_channels: Dim,
        out_channels: Dim,
        groups: Dim,
        settings: Mapping[str, Any],
        tensors: Mapping[str, Tensor | None],
        dims: Mapping[str, tuple[Dim, ...]],
        kernel: Choice | None = None,
    ) -> None:
        super().__init__(tensors, dims)
        self.torch_layer = torch_layer
        self.kernel = kernel
        self.operation = LAYERS[torch_layer]
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.groups = groups
        self.settings = dict(settings)

    @property
    def width(self) -> Dim:
        return self.out_channels

    @property
    def channelwise(self) -> bool:
        return self.groups == self.in_channels == self.out_channels

    def cuts(self, path: Path) -> Mapping[str, Cut]:
        cuts = super().cuts(path)
        if self.kernel is None:
            return cuts
        left_out = self._left_out(path)
        middle = slice(left_out, left_out + path[self.kernel.name])
        channels, *places = cuts["weight"][1:]
        return {**cuts, "weight": (cuts["weight"][0], channels, *(middle for _ in places))}

    def _left_out(self, path: Path) -> int:
        """Of the kernel, at each end."""
        return 0 if self.kernel is None else (self.kernel.largest - path[self.kernel.name]) // 2

    def _settings(self, path: Path) -> Mapping[str, Any]:
        less = self._left_out(path)
        if not less:
            return self.settings
        reaches = zip(self.settings["padding"], self.settings["dilation"], strict=True)
        return {**self.settings, "padding": tuple(pad - step * less for pad, step in reaches)}

    def blank(self, path: Path) -> nn.Module:
        layer = cast(Any, self.torch_layer)
        kernel = cast(Tensor, self.weight).shape[2:]
        return layer(
            at(self.in_channels, path),
            at(self.out_channels, path),
            tuple(size - 2 * self._left_out(path) for size in kernel),
            groups=at(self.groups, path),
            bias=self.bias is not None,
            device="meta",
            **self._settings(path),
        )

    def forward(self, x: Tensor, path: Path) -> Tensor:
        convolve: Callable[..., Tensor] = getattr(F, self.operation)
        return convolve(
            x,
            self.part("weight", path),
            self._maybe("bias", path),
            groups=at(self.groups, path),
            **self._settings(path),
        )


class FittedLinear(FittedLayer):
    """Linear on the last axis."""

    operation = "linear"
    _described = ("in_features", "out_features")

    def __init__(
        self,
        in_features: Dim,
        out_features: Dim,
        tensors: Mapping[str, Tensor | None],
        dims: Mapping[str, tuple[Dim, ...]],
    ) -> None:
        super().__init__(tensors, dims)
        self.in_features = in_features
        self.out_features = out_features

    @property
    def width(self) -> Dim:
        return self.out_features

    def blank(self, path: Path) -> nn.Module:
        return nn.Linear(
            at(self.in_features, path),
            at(self.out_features, path),
            bias=self.bias is not None,
            device="meta",
        )

    def forward(self, x: Tensor, path: Path) -> Tensor:
        return F.linear(x, self.part("weight", path), self._maybe("bias", path))


class FittedLayerNorm(FittedLayer):
    """Layer norm over the last axis or axes, of which a path may use a part."""

    operation = "layer_norm"
    _described = ("sizes",)

    def __init__(
        self,
        sizes: tuple[Dim, ...],
        eps: float,
        tensors: Mapping[str, Tensor | None],
        dims: Mapping[str, tuple[Dim, ...]],
    ) -> None:
        super().__init__(tensors, dims)
        self.sizes = sizes
        self.eps = eps

    @property
    def width(self) -> Dim:
        return self.sizes[-1]

    def blank(self, path: Path) -> nn.Module:
        return nn.LayerNorm(
            [at(size, path) for size in self.sizes],
            eps=self.eps,
            bias=self.bias is not None,
            device="meta",
        )

    def forward(self, x: Tensor, path: Path) -> Tensor:
        sizes = tuple(at(size, path) for size in self.sizes)
        weight, bias = self.part("weight", path), self._maybe("bias", path)
        return F.layer_norm(x, sizes, weight, bias, self.eps)


class FittedRMSNorm(FittedLayerNorm):
    """Root-mean-square norm over the last axis or axes, without a bias."""

    operation = "rms_norm"

    def blank(self, path: Path) -> nn.Module:
        return nn.RMSNorm([at(size, path) for size in self.sizes], eps=self.eps, device="meta")

    def forward(self, x: Tensor, path: Path) -> Tensor:
        sizes = [at(size, path) for size in self.sizes]
        return F.rms_norm(x, sizes, self.part("weight", path), self.eps)


class FittedGroupNorm(FittedLayer):
    """Group norm over (N, C, ...), of which a path uses whole groups."""

    operation = "group_norm"
    _described = ("groups", "channels")

    def __init__(
        self,
        groups: Dim,
        channels: Dim,
        eps: float,
        tensors: Mapping[str, Tensor | None],
        dims: Mapping[str, tuple[Dim, ...]],
    ) -> None:
        super().__init__(tensors, dims)
        self.groups = groups
        self.channels = channels
        self.eps = eps

    @property
    def width(self) -> Dim:
        return self.channels

    def blank(self, path: Path) -> nn.Module:
        groups, channels = at(self.groups, path), at(self.channels, path)
        return nn.GroupNorm(groups, channels, eps=self.eps, device="meta")

    def forward(self, x: Tensor, path: Path) -> Tensor:
        weight, bias = self.part("weight", path), self.part("bias", path)
        return F.group_norm(x, at(self.groups, path), weight, bias, self.eps)


class FittedEmbedding(FittedLayer):
    """Vectors of tokens, of which a path may use a part."""

    _described = ("size",)

    def __init__(
        self,
        size: Dim,
        padding: int | None,
        tensors: Mapping[str, Tensor | None],
        dims: Mapping[str, tuple[Dim, ...]],
    ) -> None:
        super().__init__(tensors, dims)
        self.size = size
        self.padding = padding

    @property
    def width(self) -> Dim:
        return self.size

    def blank(self, path: Path) -> nn.Module:
        count = cast(Tensor, self.weight).shape[0]
        return nn.Embedding(count, at(self.size, path), padding_idx=self.padding, device="meta")

    def forward(self, x: Tensor, path: Path) -> Tensor:
        return F.embedding(x, self.part("weight", path), self.padding)


class FittedTensor(FittedLayer):
    """A parameter or buffer that functions read by themselves."""

    _described = ("_dims",)

    def __init__(self, value: Tensor, dims: tuple[Dim, ...]) -> None:
        super().__init__({"value": value}, {"value": dims})

    @property
    def width(self) -> Dim:
        return max(self._dims["value"], key=lambda dim: len(choices_of(dim)), default=1)

    def blank(self, path: Path) -> nn.Module:
        value = cast(Tensor, self.value)
        sizes = [at(dim, path) for dim in self._dims["value"]]
        empty = torch.empty(sizes, dtype=value.dtype, device="meta")
        return Whole(nn.Parameter(empty) if isinstance(value, nn.Parameter) else empty)

    def forward(self, path: Path) -> Tensor:
        return self.part("value", path)

    @property
    def size(self) -> int:
        """Values in the largest size."""
        return math.prod(cast(Tensor, self.value).shape)


class Whole(nn.Module):
    """Gives its tensor."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        if isinstance(value, nn.Parameter):
            self.value = value
        else:
            self.register_buffer("value", value)

    def forward(self) -> Tensor:
        return cast(Tensor, self.value)
