"""The resolution of the input as a choice, and outputs that have places in their own again."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tipsc.elastic.dims import Dim
from tipsc.elastic.layers import Cut, ElasticLayer
from tipsc.paths import Choice, Path


class _Resizing(ElasticLayer):
    """Maps in another size, by what :meth:`blank` gives; it has no weights."""

    @property
    def width(self) -> Dim:
        return 1

    @property
    def channelwise(self) -> bool:
        return True

    def cuts(self, path: Path) -> Mapping[str, Cut]:
        return {}

    def plain(self, path: Path) -> nn.Module:
        return self.blank(path).train(self.training)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        output: Tensor = self.blank(path)(x)
        return output


class ElasticResize(_Resizing):
    """Square images (N, C, H, H) in the resolution of the path.

    The largest option is the size that images come in, which is left as it is. Where it is a
    multiple of the option, pixels are averaged; else they are interpolated bilinearly between the
    centres of pixels, without a filter against aliasing.

    Args:
        resolution: pixels a side.
    """

    _described = ("resolution",)

    def __init__(self, resolution: Choice) -> None:
        super().__init__()
        self.resolution = resolution

    def blank(self, path: Path) -> nn.Module:
        full, size = self.resolution.largest, path[self.resolution.name]
        if size == full:
            return nn.Identity()
        if full % size == 0:
            return nn.AvgPool2d(full // size)
        return nn.Upsample((size, size), mode="bilinear", align_corners=False)


class ElasticRestore(_Resizing):
    """An output with places, (N, C, h, w), in the size that it has at full resolution.

    Where the path's resolution is less it is interpolated bilinearly between the centres of
    places.

    Args:
        resolution: pixels a side.
        size: height and width of the output at full resolution.
    """

    _described = ("size",)

    def __init__(self, resolution: Choice, size: tuple[int, int]) -> None:
        super().__init__()
        self.resolution = resolution
        self.size = size

    def blank(self, path: Path) -> nn.Module:
        if path[self.resolution.name] == self.resolution.largest:
            return nn.Identity()
        return nn.Upsample(self.size, mode="bilinear", align_corners=False)
