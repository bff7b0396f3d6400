"""Plain nets, as a user has them, and the training that they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compare.studies import cifar10, fashion, first, watch, words
from tipsc.train import Data, Split


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def residual(channels: int, classes: int, widths: tuple[int, ...], blocks: int) -> nn.Module:
    """Stages of residual blocks; each after the first halves the resolution."""
    layers: list[nn.Module] = []
    for stage, width in enumerate(widths):
        stride = 1 if stage == 0 else 2
        layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [ResidualBlock(width) for _ in range(blocks)]
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


class Inverted(nn.Module):
    """An inverted residual with squeeze-and-excite (arXiv 1801.04381, 1709.01507)."""

    def __init__(self, width: int, to: int, stride: int, expansion: int = 4) -> None:
        super().__init__()
        inner, self.skips = width * expansion, stride == 1 and width == to
        self.expand = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner), nn.SiLU())
        self.depthwise = nn.Sequential(
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner), nn.BatchNorm2d(inner), nn.SiLU()
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, width, 1), nn.SiLU(),
            nn.Conv2d(width, inner, 1), nn.Sigmoid(),
        )  # fmt: skip
        self.project = nn.Sequential(nn.Conv2d(inner, to, 1), nn.BatchNorm2d(to))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        y = self.project(y * self.gate(y))
        return x + y if self.skips else y


def inverted(channels: int, classes: int, widths: tuple[int, ...], blocks: int) -> nn.Module:
    """A stem, then stages of inverted residuals; each after the first halves the resolution."""
    width = widths[0]
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, 1, 1),
        nn.BatchNorm2d(width),
        nn.SiLU(),
    ]
    for stage, to in enumerate(widths):
        layers.append(Inverted(width, to, 1 if stage == 0 else 2))
        layers += [Inverted(to, to, 1) for _ in range(blocks - 1)]
        width = to
    head = [nn.Conv2d(width, 2 * width, 1), nn.BatchNorm2d(2 * width), nn.SiLU()]
    return nn.Sequential(
        *layers, *head, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes)
    )


class SeriesNet(nn.Module):
    """A 1-D CNN: (N, 6, 128) -> logits."""

    def __init__(self, classes: int = 7, widths: tuple[int, ...] = (16, 24, 32)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 6
        for width in widths:
            for stride in (2, 1):
                layers += [
                    nn.Conv1d(channels, width, 5, stride, 2), nn.BatchNorm1d(width), nn.ReLU(),
                ]  # fmt: skip
                channels = width
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class WordNet(nn.Module):
    """A transformer encoder over letters: (N, 16) int64 -> logits."""

    def __init__(self, classes: int = 8, width: int = 48, layers: int = 3) -> None:
        super().__init__()
        self.letters = nn.Embedding(27, width)
        self.positions = nn.Parameter(0.02 * torch.randn(16, width))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, 4, 192, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
                )
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, letters: Tensor) -> Tensor:
        x = self.layers(self.letters(letters) + self.positions)
        return self.classifier(self.norm(x).mean(1))


def small_clothes() -> Data:
    """Fashion-MNIST at 14x14 pixels: a quarter of the time."""
    full = fashion()

    def smaller(split: Split) -> Split:
        return Split(F.avg_pool2d(split.inputs, 2), split.targets)

    return replace(full, **{n: smaller(getattr(full, n)) for n in ("train", "validation", "test")})


def many_clothes() -> Data:
    """Fashion-MNIST with 20,000 images to train on, and all 10,000 of the test."""
    full = fashion(full=True)
    return replace(full, train=first(full.train, 20_000))


def some_cifar() -> Data:
    """CIFAR-10 with 10,000 of its images to train on, 2,000 to validate, 2,500 to test."""
    full = cifar10()
    return replace(full, train=first(full.train, 10_000), validation=first(full.validation, 2_000),
                   test=first(full.test, 2_500))  # fmt: skip


def some_words() -> Data:
    full = words()
    return replace(full, train=first(full.train, 24_000), validation=first(full.validation, 3_000))


@dataclass(frozen=True)
class PlainStudy:
    """A plain net, its data, and how long the net was trained before anybody thought of paths."""

    data: Callable[[], Data]
    net: Callable[[], nn.Module]
    epochs: int
    rate: float = 0.005


PLAIN: dict[str, PlainStudy] = {
    "resnet-small": PlainStudy(small_clothes, lambda: residual(1, 10, (16, 32), 2), 6),
    "resnet": PlainStudy(fashion, lambda: residual(1, 10, (8, 16, 32), 3), 6),
    "resnet-20k": PlainStudy(many_clothes, lambda: residual(1, 10, (8, 16, 32), 3), 6),
    "mobile": PlainStudy(small_clothes, lambda: inverted(1, 10, (12, 24, 48), 2), 8),
    "cifar-resnet": PlainStudy(some_cifar, lambda: residual(3, 10, (8, 16, 32), 2), 10),
    "cifar-mobile": PlainStudy(some_cifar, lambda: inverted(3, 10, (8, 16, 32), 2), 10),
    "words": PlainStudy(some_words, WordNet, 4, 0.004),
    "watch": PlainStudy(watch, SeriesNet, 20),
}


def trained_plain(study: PlainStudy, data: Data, seed: int) -> nn.Module:
    """AdamW, one cycle of the learning rate; in evaluation mode."""
    torch.manual_seed(seed)
    model, train = study.net().train(), data.train
    optimizer = torch.optim.AdamW(model.parameters(), study.rate, weight_decay=0.05)
    steps = study.epochs * (len(train) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, study.rate, total_steps=steps)
    for _ in range(study.epochs):
        order = torch.randperm(len(train))
        for index in order[: len(order) // 64 * 64].split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(train.inputs[index]), train.targets[index]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()
