"""Models that are not on any list: exact, or refused with the reason."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from pathlib import Path as FilePath

import pytest
import torch
from architectures import unusual
from comparing import apart, executed_macs, exported, masked
from torch import nn

from tipsc.convert import convert
from tipsc.elastic import CostModel, extract
from tipsc.errors import ConversionError

TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order

MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    # model, shape of a batch, width-like choices, depth choices
    "constants, maxima over points": (unusual.PointNet, (3, 3, 20), 4, 0),
    "positions and mask computed": (unusual.Positions, (3, 7), 2, 2),
    "maxima with their places": (unusual.ConvAttention, (3, 3, 16, 16), 4, 0),
    "grouped queries": (unusual.SharedKeys, (3, 7, 6), 1, 1),
    "latents repeated": (unusual.Latents, (3, 9, 6), 2, 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_exact(name: str, tmp_path: FilePath) -> None:
    build, shape, widths, depths = MODELS[name]
    torch.manual_seed(0)
    model = build().eval()
    draw = (
        (lambda: torch.randint(0, 17, shape)) if len(shape) == 2 else (lambda: torch.randn(shape))
    )
    x = draw()
    supernet = convert(model, x)
    space, generator = supernet.space, random.Random(1)
    optional = {row.name for row in supernet.report.elastic if row.kind == "depth"}
    assert (len(space.choices) - len(optional), len(optional)) == (widths, depths)
    x, costs = draw(), CostModel(supernet)
    executed, predicted = set(), set()
    with torch.no_grad():
        assert apart(supernet(x, space.largest), model(x)) < TOLERANCE
        for path in (space.smallest, *(space.sample_options(generator) for _ in range(4))):
            got = supernet(x, path)
            assert apart(got, extract(supernet, path)(x)) < TOLERANCE
            whole = space.path(
                {n: o if n in optional else space[n].largest for n, o in path.options.items()}
            )
            assert apart(got, masked(supernet, path)(x, whole)) < TOLERANCE
            executed.add(executed_macs(supernet, path, x[:1]) - costs.of(path).macs)
            predicted.add(costs.of(path).macs)
    assert len(predicted) > 1 == len(executed)
    with torch.no_grad():
        for path, got in exported(supernet, [space.largest, space.smallest], x[:1], tmp_path):
            assert apart(got, supernet(x[:1], path)) < TOLERANCE


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 32), nn.Linear(32, 4)).half(), (2, 4),
         r"0.weight: only float32 weights are supported \(got float16\)"),
        (unusual.FixedBatch, (3, 3, 16, 16), "FixedBatch.*one batch size only"),
        (unusual.Noisy, (2, 8), "the output depends on chance: randn"),
    ],
)  # fmt: skip
def test_refused(build: Callable[[], nn.Module], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert(build(), torch.randn(shape))


def test_a_forward_pass_leaves_no_cycles_that_hold_its_values() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 3, 16, 16)
    supernet = convert(unusual.ConvAttention().eval(), x)
    path = supernet.space.smallest
    found = []
    with torch.no_grad():
        supernet(x, path)
        for _ in range(3):  # other threads of the process may leave some meanwhile, but not always
            gc.collect()
            gc.disable()
            try:
                supernet(x, path)
                found.append(gc.collect())
            finally:
                gc.enable()
    assert min(found) == 0
