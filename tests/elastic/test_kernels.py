"""Kernels of depthwise convolutions as a choice: a smaller one is the middle of the full one."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import pytest
import torch
from comparing import apart, executed_macs, exported, masked
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.elastic import CostModel, extract

TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order


class Separable(nn.Module):
    """A depthwise convolution beside the identity, between two that mix channels."""

    def __init__(self, kernel: int, **options: Any) -> None:
        super().__init__()
        self.entry, self.norm = nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, kernel, groups=16, **options)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.depthwise(self.entry(x))))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"kernel": 7, "padding": 3}, (3, 5, 7)),
        ({"kernel": 5, "padding": 4, "dilation": 2, "stride": 2, "bias": False}, (3, 5)),
        ({"kernel": 7, "padding": 1}, (5, 7)),
    ],
)
def test_a_smaller_kernel_is_the_full_one_with_zeros_around_its_middle(
    options: dict[str, Any], sizes: tuple[int, ...], tmp_path: FilePath
) -> None:
    torch.manual_seed(0)
    model, x = Separable(**options), torch.randn(3, 3, 12, 12)
    with torch.no_grad():
        model.train()(x)
    supernet = convert(model.eval(), x, widths=(0.5, 1.0), kernels=True)
    space = supernet.space
    (row,) = (row for row in supernet.report.elastic if row.kind == "kernel")
    assert (row.name, row.options) == ("depthwise.kernel", sizes)
    with torch.no_grad():
        for path in space.enumerate():
            got = supernet(x, path)
            assert apart(got, extract(supernet, path)(x)) < TOLERANCE
            assert apart(got, masked(supernet, path)(x, space.largest)) < TOLERANCE
        for path, graph in exported(supernet, [space.largest, space.smallest], x[:1], tmp_path):
            assert apart(graph, supernet(x[:1], path)) < TOLERANCE
    for path in (space.largest, space.smallest):
        assert CostModel(supernet).of(path).macs == executed_macs(supernet, path, x[:1])


def test_a_kernel_is_left_out_together_with_its_block() -> None:
    blocks = [nn.Conv2d(8, 8, 5, padding=2, groups=8) for _ in range(2)]

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.head = nn.ModuleList(blocks), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = x + block(torch.relu(x))
            return self.head(x.mean((2, 3)))

    net = nn.Sequential(nn.Conv2d(3, 8, 1), Residual()).eval()
    space = convert(net, torch.randn(2, 3, 8, 8), kernels=True).space
    gates = {c.name: (c.gate, c.gate_from) for c in space.choices if c.name.endswith("kernel")}
    assert gates == {
        "1.blocks.0.kernel": ("1.depth", 1),
        "1.blocks.1.kernel": ("1.depth", 2),
    }


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": 4, "padding": 2},  # has no middle
        {"kernel": 5, "padding": 0},  # a smaller one would give more places
        {"kernel": 5, "padding": "same"},
        {"kernel": 3, "padding": 1},
        {"kernel": (5, 3), "padding": (2, 1)},
    ],
)
def test_other_kernels_keep_their_size(options: dict[str, Any]) -> None:
    supernet = convert(Separable(**options).eval(), torch.randn(2, 3, 12, 12), kernels=True)
    assert "kernel" not in {row.kind for row in supernet.report.elastic}


def test_kernels_keep_their_size_unless_asked_for() -> None:
    supernet = convert(Separable(7, padding=3).eval(), torch.randn(2, 3, 12, 12))
    assert "kernel" not in {row.kind for row in supernet.report.elastic}
