"""What the tests of early exits share: a net with stages, and paths of what was converted."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from architectures import convolutional as conv
from torch import Tensor, nn

from tipsc.convert import ConvertedSupernet
from tipsc.paths import Path

TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order
IMAGE = (4, 3, 16, 16)


def resnet() -> nn.Module:
    """Three stages of two blocks."""
    stages, width = [], 8
    for number in range(3):
        outputs = 8 * 2**number
        first = conv.BasicBlock(width, outputs, 1 if number == 0 else 2)
        stages.append(nn.Sequential(first, conv.BasicBlock(outputs, outputs, 1)))
        width = outputs
    return nn.Sequential(conv.conv_bn(3, 8), *stages, conv.Head(width))


def made(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """A model whose norms have statistics, in eval mode, and a batch."""
    torch.manual_seed(0)
    model, x = build(), torch.randn(shape)
    with torch.no_grad():
        model.train()(x)
    return model.eval(), x


def some_paths(supernet: ConvertedSupernet, count: int) -> list[Path]:
    """All of each exit, the smallest, and random paths."""
    space, generator = supernet.space, random.Random(3)
    drawn = [space.sample_options(generator) for _ in range(count)]
    return list(dict.fromkeys([*supernet.spanning, space.smallest, *drawn]))


def stages_of(supernet: ConvertedSupernet) -> dict[int, str]:
    """The module after which each exit stands."""
    return {row.number: row.stage for row in supernet.report.exits}
