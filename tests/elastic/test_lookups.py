"""Tables that are looked up by an index of several axes, as attention biases are."""

from __future__ import annotations

import random
from pathlib import Path as FilePath

import pytest
import torch
from comparing import apart, exported
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.elastic import extract

TOLERANCE = 1e-5
SIDE = 4


class Attention(nn.Module):
    """A bias for each head and distance between places, as LeViT (arXiv 2104.01136) has it.

    Args:
        first: whether places come first in the table, or the heads.
        back: how far indices are shifted; those below zero count from the end.
    """

    def __init__(self, width: int, heads: int, *, first: bool, back: int = 0) -> None:
        super().__init__()
        self.heads, self.first = heads, first
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
        away = [(a.flatten()[:, None] - a.flatten()[None]).abs() for a in (rows, columns)]
        places = SIDE * SIDE
        self.biases = nn.Parameter(torch.randn((places, heads) if first else (heads, places)))
        self.register_buffer("index", away[0] * SIDE + away[1] - back)

    def forward(self, x: Tensor) -> Tensor:
        batch, places, width = x.shape
        q, k, v = (
            layer(x).view(batch, places, self.heads, -1).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        bias = (
            self.biases[self.index].permute(2, 0, 1) if self.first else self.biases[:, self.index]
        )
        scores = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias).softmax(-1)
        return x + self.out((scores @ v).transpose(1, 2).reshape(batch, places, width))


class Net(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.blocks = nn.Sequential(*(Attention(24, 4, **options) for _ in range(2)))  # type: ignore[arg-type]
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize("options", [{"first": False}, {"first": True}, {"first": True, "back": 3}])
def test_biases_of_elastic_heads_are_looked_up_and_exported(
    options: dict[str, object], tmp_path: FilePath
) -> None:
    torch.manual_seed(0)
    model, x = Net(**options).eval(), torch.randn(2, 3, 4 * SIDE, 4 * SIDE)
    supernet = convert(model, x)
    space = supernet.space
    assert [row.kind for row in supernet.report.elastic].count("heads") == 2
    drawn = space.sample_options(random.Random(0))
    paths = list({p.id: p for p in (space.largest, space.smallest, drawn)}.values())
    with torch.no_grad():
        assert apart(supernet(x, space.largest), model(x)) < TOLERANCE
        plain = {path: extract(supernet, path) for path in paths}
        for path in paths:
            assert apart(supernet(x, path), plain[path](x)) < TOLERANCE
        for path, output in exported(supernet, paths, x[:1], tmp_path):
            assert apart(output, plain[path](x[:1])) < TOLERANCE
