"""Kinds of models that people bring are elastic and exact, on all paths, and exported exactly."""

from __future__ import annotations

import random
from pathlib import Path as FilePath

import pytest
import torch
from architectures.kinds import KINDS, VECTOR, Between, make
from comparing import apart, executed_macs, exported, masked
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.elastic import CostModel, extract
from tipsc.errors import ConversionError

TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order


@pytest.mark.parametrize("name", KINDS)
def test_kind(name: str, tmp_path: FilePath) -> None:
    model, x = make(name)
    supernet = convert(model, x)
    space, generator = supernet.space, random.Random(1)
    first = next((kind for kind in ("group", "head") if kind in name), None)
    kinds = [f"{first}s" if first else "width", *["width"] * (KINDS[name][2] - 1)]
    assert [row.kind for row in supernet.report.elastic] == kinds
    other = torch.randint(0, 17, x.shape) if x.dtype == torch.int64 else torch.randn(x.shape)
    paths = [space.largest, space.smallest, *(space.sample_options(generator) for _ in range(2))]
    with torch.no_grad():
        assert apart(supernet(other, space.largest), model(other)) < TOLERANCE
        for path in paths:
            got = supernet(other, path)
            assert apart(extract(supernet, path)(other), got) < TOLERANCE
            assert apart(got, masked(supernet, path)(other, space.largest)) < TOLERANCE or (
                "norm" in name and "statistics" not in name  # a zero counts in a mean
            )
        for path, graph in exported(supernet, paths, other[:1], tmp_path):
            assert apart(graph, supernet(other[:1], path)) < TOLERANCE
    costs = CostModel(supernet)
    assert executed_macs(supernet, space.smallest, other[:1]) < executed_macs(
        supernet, space.largest, other[:1]
    )
    assert costs.of(space.smallest).parameters < costs.of(space.largest).parameters


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: torch.jit.script(nn.Sequential(nn.Linear(12, 32), nn.Linear(32, 5))),
            "is TorchScript.*as it was before torch.jit.script",
        ),
        (
            lambda: Between(lambda s, x: x / x.pow(2).mean()),
            "depends on the other examples of the batch",
        ),
        (
            lambda: Between(lambda s, x: x * s.root),
            r"root: only float32 weights are supported \(got bfloat16\)",
        ),
        (
            lambda: Between(lambda s, x: x * torch.rand(32)),
            r"the model itself, rand \(.*kinds.py, line \d+\): the output depends on chance",
        ),
    ],
)
def test_refused_with_a_way_out(build, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert(build().eval(), torch.randn(VECTOR))


@pytest.mark.parametrize("examples", [1, 3])
def test_a_batch_of_one_tells_a_mean_over_the_batch_too(examples: int) -> None:
    with pytest.raises(ConversionError, match="depends on the other examples"):
        convert(Between(lambda s, x: x - x.mean(0)).eval(), torch.randn(examples, 12))


class Amplified(nn.Module):
    """Rounding grows a thousandfold on the way, as in a deep net; what it computes is the same."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(torch.relu(self.a(x)))
        return (y * 1e3).sin()


def test_float32_rounding_is_no_reason_to_refuse() -> None:
    torch.manual_seed(0)
    model, x = Amplified().eval(), torch.randn(4, 12)
    supernet = convert(model, x)
    assert supernet.report.difference > 1e-5  # what a fixed bound refused
    with torch.no_grad():
        path = supernet.space.largest
        assert apart(supernet.double()(x.double(), path), model.double()(x.double())) < 1e-10
