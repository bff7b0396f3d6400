"""Models of real size for ``benchmarks/convert.py``, from the blocks of the tests.

Weights are random, except EfficientNet-Lite0's.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path as File

import torch
from torch import Tensor, nn

ROOT = File(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "elastic"))

from architectures import convolutional as conv  # noqa: E402
from architectures import sequential as seq  # noqa: E402
from mobilenet_v2 import MobileNetV2  # noqa: E402

IMAGE = (2, 3, 224, 224)


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [conv.conv_bn(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for inner, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(conv.Bottleneck(width, inner, 4 * inner, stride if not block else 1))
            width = 4 * inner
    return nn.Sequential(*layers, conv.Head(width, 1000))


class ViTSmall(nn.Module):
    """ViT-S/16, 22 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 384, 16, 16)
        self.positions = nn.Parameter(torch.randn(1, 196, 384))
        self.blocks = nn.Sequential(*(seq.Block(384, 6) for _ in range(12)))
        self.norm = nn.LayerNorm(384)
        self.head = nn.Linear(384, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(x)).mean(1))


class DenseLayer(nn.Module):
    """Appends its channels to what enters."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth), nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.layers(x)), 1)


def densenet121() -> nn.Module:
    layers: list[nn.Module] = [conv.conv_bn(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for number, blocks in enumerate((6, 12, 24, 16)):
        layers += [DenseLayer(width + 32 * block, 32) for block in range(blocks)]
        width += 32 * blocks
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        if number < 3:
            layers += [nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
    return nn.Sequential(*layers, conv.Head(width, 1000))


def efficientnet_lite0() -> nn.Module:
    """With its ImageNet weights, from the packages that the example names."""
    file = ROOT / "examples" / "efficientnet_lite0" / "model.py"
    spec = importlib.util.spec_from_file_location("efficientnet_lite0", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: nn.Module = module.load()
    return model


REAL: dict[str, Callable[[], nn.Module]] = {
    "MobileNetV2, 224": MobileNetV2,
    "EfficientNet-Lite0, 224": efficientnet_lite0,
    "ResNet-50, 224": resnet50,
    "ViT-S/16, 224": ViTSmall,
    "DenseNet-121, 224": densenet121,
}


def make_real(name: str) -> tuple[nn.Module, Tensor]:
    """A model in eval mode, and a batch."""
    torch.manual_seed(0)
    return REAL[name]().eval(), torch.randn(IMAGE)
