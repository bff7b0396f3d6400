"""The resolution of the input as a choice of converted models."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path as FilePath

import pytest
import torch
from architectures import convolutional as conv
from architectures import sequential as seq
from comparing import exported
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.convert import ConvertedSupernet, convert
from tipsc.elastic import CostModel, additive_totals, extract
from tipsc.errors import ConversionError
from tipsc.paths import Path

FULL, SIZES = 32, (16, 24)  # averaged; interpolated
TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order
NETS: dict[str, Callable[[], nn.Module]] = {
    "ResNet": conv.resnet_basic,
    "ShuffleNetV2": conv.shufflenet,  # reshapes to sizes that depend on the resolution
}


@pytest.fixture(scope="module", params=NETS)
def converted(request: pytest.FixtureRequest) -> tuple[nn.Module, ConvertedSupernet, Tensor]:
    torch.manual_seed(0)
    model, x = NETS[request.param](), torch.randn(4, 3, FULL, FULL)
    with torch.no_grad():
        model.train()(x)
    return model.eval(), convert(model, x, widths=(0.5, 1.0), resolutions=SIZES), x


def apart(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return ((got - expected).abs().max() / expected.abs().max()).item()


def some_paths(supernet: ConvertedSupernet, count: int) -> list[Path]:
    """The extremes, the full network in each resolution, and random paths."""
    space, generator = supernet.space, random.Random(3)
    full = [space.path({**space.largest.options, "resolution": r}) for r in (*SIZES, FULL)]
    return [space.smallest, *full, *(space.sample_options(generator) for _ in range(count))]


def test_the_full_network_is_the_original_on_a_smaller_image(converted) -> None:
    model, supernet, x = converted
    assert supernet.space.choices[0].name == "resolution"
    assert supernet.space.choices[0].options == (*SIZES, FULL)
    resized = {
        16: F.avg_pool2d(x, 2),
        24: F.interpolate(x, (24, 24), mode="bilinear", align_corners=False),
        32: x,
    }
    with torch.no_grad():
        for size, image in resized.items():
            path = supernet.space.path({**supernet.space.largest.options, "resolution": size})
            assert apart(supernet(x, path), model(image)) < TOLERANCE


def test_each_path_equals_its_extraction(converted) -> None:
    _, supernet, x = converted
    with torch.no_grad():
        for path in some_paths(supernet, 10):
            assert apart(supernet(x, path), extract(supernet, path)(x)) < TOLERANCE


def test_costs_are_exact_sums_and_follow_the_area(converted) -> None:
    _, supernet, _ = converted
    costs, totals = CostModel(supernet), additive_totals(supernet)
    for path in some_paths(supernet, 10):
        assert totals["macs"].of(path) == costs.of(path).macs
        assert totals["parameters"].of(path) == costs.of(path).parameters
    _, small, middle, full, *_ = [dict(costs.of(p).steps) for p in some_paths(supernet, 0)]
    assert small.keys() == middle.keys() == full.keys()
    stem = next(iter(full))
    assert (small[stem] * 4, middle[stem] * 16) == (full[stem], full[stem] * 9)


def test_one_export_serves_all_resolutions(converted, tmp_path: FilePath) -> None:
    _, supernet, x = converted
    paths = some_paths(supernet, 6)
    assert x.shape[1:] == (3, FULL, FULL)  # what every graph takes
    for path, got in exported(supernet, paths, x[:1], tmp_path):
        with torch.no_grad():
            assert apart(got, supernet(x[:1], path)) < TOLERANCE


class Binned(nn.Module):
    """Runs at any size, but in bins that depend on it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv.conv_bn(3, 16), conv.conv_bn(16, 16))
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.body(x)).flatten(1))


class Scaled(Binned):
    """Multiplies by a number that depends on the size of the image."""

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean((2, 3)) * x.shape[-1]


def dense() -> nn.Module:
    """An answer for each place."""
    return nn.Sequential(conv.conv_bn(3, 16), conv.conv_bn(16, 16), nn.Conv2d(16, 4, 1))


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (conv.VGG, (4, 3, 16, 16), r"classifier\.0.*cannot be run at resolution 8"),
        (seq.ViT, (4, 3, 16, 16), r"ViT.*cannot be run at resolution 8"),
        (lambda: nn.Sequential(dense(), nn.Flatten(2)), (4, 3, 16, 16), r"no map \(N, C, h, w\)"),
        (Binned, (4, 3, 16, 16), r"pool.*adaptive_avg_pool2d works on a size"),
        (Scaled, (4, 3, 16, 16), r"mul differs there"),
        (conv.resnet_basic, (4, 3, 16, 24), r"square images"),
    ],
)
def test_what_is_not_fully_convolutional_is_refused(
    build: Callable[[], nn.Module], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        convert(build().eval(), torch.randn(shape), resolutions=(8, 16))


class Decoder(nn.Module):
    """Two maps of different size; what is below is brought to the size of what is beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.high, self.low = conv.conv_bn(3, 16), conv.conv_bn(16, 32, stride=2)
        self.middle = conv.conv_bn(48, 16)
        self.head, self.coarse = nn.Conv2d(16, 4, 1), nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        high = self.high(x)
        low = self.low(high)
        size = high.shape[-2:]
        up = F.interpolate(low, size=size, mode="bilinear", align_corners=False)
        return {
            "fine": self.head(self.middle(torch.cat([up, high], 1))),
            "coarse": self.coarse(low),
        }


@pytest.mark.parametrize("build", [dense, conv.UNet, Decoder])
def test_maps_come_in_full_size(build: Callable[[], nn.Module], tmp_path: FilePath) -> None:
    torch.manual_seed(0)
    model, x = build(), torch.randn(4, 3, FULL, FULL)
    with torch.no_grad():
        model.train()(x)
    supernet = convert(model.eval(), x, widths=(0.5, 1.0), resolutions=SIZES)
    full = supernet.space.largest
    small = supernet.space.path({**full.options, "resolution": 16})
    as_dict = build is Decoder
    with torch.no_grad():
        at_full, got = supernet(x, full), supernet(x, small)
        seen = model(F.avg_pool2d(x, 2))
    for name in at_full if as_dict else [0]:
        whole, found, wanted = (v[name] if as_dict else v for v in (at_full, got, seen))
        size = whole.shape[2:]
        wanted = F.interpolate(wanted, size, mode="bilinear", align_corners=False)
        assert apart(found, wanted) < TOLERANCE
    for path, first in exported(supernet, some_paths(supernet, 6), x[:1], tmp_path):
        with torch.no_grad():
            expected = supernet(x[:1], path)
            assert apart(first, expected["fine"] if as_dict else expected) < TOLERANCE
    assert CostModel(supernet).of(small).macs < 0.3 * CostModel(supernet).of(full).macs


def test_maps_have_exits_or_resolutions() -> None:
    blocks = (conv.BasicBlock(16, 16, 1) for _ in range(6))
    model = nn.Sequential(conv.conv_bn(3, 16), *blocks, nn.Conv2d(16, 4, 1)).eval()
    x = torch.randn(2, 3, 16, 16)
    assert "exit" in {c.name for c in convert(model, x, exits=True).space.choices}
    with pytest.raises(ConversionError, match="early exits or resolutions, not both"):
        convert(model, x, resolutions=(8,), exits=True)


@pytest.mark.parametrize("sizes", [(), (32,), (16, 48), (0, 16)])
def test_sizes_that_make_no_sense_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ConversionError, match="less than the model's own"):
        convert(conv.resnet_basic(), torch.randn(2, 3, 32, 32), resolutions=sizes)
