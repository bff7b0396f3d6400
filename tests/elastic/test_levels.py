"""Paths whose norms have ratios of their own: exact, over the same shared weights."""

from __future__ import annotations

import random
from pathlib import Path as FilePath

import numpy as np
import onnxruntime
import pytest
import torch
from architectures import ARCHITECTURES, make
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.convert import convert
from tipsc.elastic import (
    Statistics,
    Supernet,
    extract,
    norms_with_ratio,
)
from tipsc.lower import LOCATION, lower
from tipsc.lower.divisions import Rescaled
from tipsc.lower.plan import Planner
from tipsc.paths import Path


def with_ratios(supernet: Supernet, path: Path, seed: int = 0) -> Statistics:
    chance = random.Random(f"{seed} {path.id}")
    norms = [n for n, m in extract(supernet, path).named_modules() if isinstance(m, _BatchNorm)]
    return Statistics(path.id, ratio={name: chance.uniform(0.3, 2.0) for name in norms})


def run(file: FilePath, graph: bytes, weights: bytes, x: Tensor) -> list[np.ndarray]:
    (file / LOCATION).write_bytes(weights)
    (file / "path.onnx").write_bytes(graph)
    session = onnxruntime.InferenceSession(file / "path.onnx")
    rows = [session.run(None, {session.get_inputs()[0].name: row[None].numpy()}) for row in x]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def largest_gap(found: list[np.ndarray], wanted: object) -> float:
    """Relative to the largest number of the output."""
    tensors = [wanted] if isinstance(wanted, Tensor) else list(wanted)  # type: ignore[call-overload]
    return max(
        float(np.abs(mine - its.numpy()).max() / its.abs().max())
        for mine, its in zip(found, tensors, strict=True)
    )


CONVOLUTIONAL = [name for name in ARCHITECTURES if name not in ("GLU", "LSTM", "GRU")]


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_paths_with_ratios_are_exact(name: str, tmp_path: FilePath) -> None:
    model, x = make(name)
    supernet = convert(model, x)
    paths = [supernet.space.smallest, supernet.space.sample(random.Random(1))]
    statistics = {path.id: with_ratios(supernet, path) for path in paths}
    lowered = lower(supernet, paths, statistics)
    for path in paths:
        with torch.no_grad():
            wanted = extract(supernet, path, statistics[path.id])(x)
        assert (
            largest_gap(run(tmp_path, lowered.graphs[path.id], lowered.weights, x), wanted) < 2e-5
        )


class Kinds(nn.Module):
    """Everything that carries a level, and what does not."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(9))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(9))
        self.slope = nn.PReLU(8)
        self.lone = nn.BatchNorm2d(16)
        self.stem, self.head = nn.Conv2d(3, 8, 1), nn.Linear(16, 5)

    def layer(self, x: Tensor, place: int) -> Tensor:
        return self.norms[place](self.convs[place](x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        functional = nn.functional
        x = functional.relu6(self.layer(self.stem(x), 0))
        x = functional.silu(self.layer(x, 1))
        x = functional.hardswish(self.layer(x, 2))
        x = x + functional.gelu(self.layer(x, 3))
        x = self.slope(self.layer(x, 4)).clamp(-0.5, 2.0)
        gate = torch.sigmoid(functional.adaptive_avg_pool2d(self.layer(x, 5), 1))
        x = x * gate - functional.max_pool2d(self.layer(x, 6), 3, 1, 1) / 2
        x = functional.hardtanh(x) + 1.0
        y = functional.leaky_relu(self.layer(x, 7))
        x = torch.cat([y, self.layer(y, 8)], 1) * 0.5
        x = functional.relu(self.lone(x))
        y, z = x.chunk(2, 1)
        x = torch.cat([torch.maximum(y, z), functional.pad(z, (1, 1, 1, 1))[..., 1:-1, 1:-1]], 1)
        return self.head(x.mean((2, 3))), y.abs().sqrt()


@pytest.mark.parametrize("seed", range(3))
def test_each_kind_carries_a_level_or_gets_none(seed: int, tmp_path: FilePath) -> None:
    torch.manual_seed(seed)
    model, x = Kinds(), torch.randn(4, 3, 6, 6)
    for _ in range(3):
        model(x)
    supernet = convert(model.eval(), x)
    path = supernet.space.sample(random.Random(seed))
    statistics = with_ratios(supernet, path, seed)
    lowered = lower(supernet, [path], {path.id: statistics})
    with torch.no_grad():
        wanted = extract(supernet, path, statistics)(x)
    assert largest_gap(run(tmp_path, lowered.graphs[path.id], lowered.weights, x), wanted) < 2e-5
    plan = Planner(supernet).plan(path, statistics)
    rescaled = sum(isinstance(operation.module, Rescaled) for operation in plan.operations)
    assert rescaled < len(plan.operations) / 3


@pytest.mark.parametrize("name", ["VGG", "ResNet, basic", "MobileNetV3", "EfficientNet"])
def test_ratios_cost_no_second_copy_of_the_weights(name: str) -> None:
    model, x = make(name)
    supernet = convert(model, x)
    paths = [supernet.space.smallest, supernet.space.largest]
    plain = lower(supernet, paths, {p.id: Statistics(p.id) for p in paths})
    ours = lower(supernet, paths, {p.id: with_ratios(supernet, p) for p in paths})
    biases = sum(
        module.num_features
        for path in paths
        for module in extract(supernet, path).modules()
        if isinstance(module, _BatchNorm)
    )
    heads = 4 * 10 * len(paths)  # biases of layers without a norm become a path's own
    assert len(ours.weights) <= len(plain.weights) + 4 * biases + 4 * heads + 64 * 100


def divided(model: nn.Module, x: Tensor) -> list[tuple[int, ...]]:
    """Shapes of what the largest path divides."""
    supernet = convert(model, x)
    path = supernet.space.largest
    ratio = with_ratios(supernet, path).ratio
    kept = {name: ratio[name] for name in ratio.keys() & norms_with_ratio(supernet)}
    plan = Planner(supernet).plan(path, Statistics(path.id, ratio=kept))
    return [o.shape[1:] for o in plan.operations if isinstance(o.module, Rescaled)]


def test_a_bottleneck_is_divided_where_it_is_narrow() -> None:
    """Four blocks of three layers; then what is beside the identity where the width changes."""
    shapes = divided(*make("ResNet, bottleneck"))
    assert shapes.count((8, 16, 16)) == 3
    assert len(shapes) == 8


def test_where_channels_are_gated_nothing_else_is_divided() -> None:
    shapes = divided(*make("EfficientNet"))
    assert shapes
    assert all(shape[1:] == (1, 1) for shape in shapes)


@pytest.mark.parametrize(("name", "most"), [("ResNet, basic", 6), ("MobileNetV2", 5)])
def test_few_divisions_are_left(name: str, most: int) -> None:
    assert 0 < len(divided(*make(name))) <= most


def chain(activation: type[nn.Module], layers: int) -> nn.Module:
    return nn.Sequential(
        *(
            layer
            for place in range(layers)
            for layer in (nn.Conv2d(3 if place == 0 else 8, 8, 1), nn.BatchNorm2d(8), activation())
        )
    )


def test_each_norm_has_a_ratio_where_none_costs_anything() -> None:
    supernet = convert(chain(nn.ReLU, 8).eval(), torch.randn(2, 3, 4, 4))
    assert len(norms_with_ratio(supernet)) == 8


@pytest.mark.parametrize("activation", [nn.SiLU, nn.ReLU6, nn.Hardswish, nn.GELU])
def test_where_each_costs_a_division_every_fourth_norm_has_one(
    activation: type[nn.Module],
) -> None:
    supernet = convert(chain(activation, 8).eval(), torch.randn(2, 3, 4, 4))
    assert norms_with_ratio(supernet) == {"10", "22"}


def test_projections_correct_what_comes_before_an_activation() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.expand, self.first = nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8)
            self.depthwise, self.second = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8)
            self.project, self.third = nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = nn.functional.silu(self.first(self.expand(x)))
            y = nn.functional.silu(self.second(self.depthwise(y)))
            return x + self.third(self.project(y))

    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.SiLU(), Block(), Block())
    supernet = convert(model.eval(), torch.randn(2, 3, 4, 4))
    assert norms_with_ratio(supernet) == {"3.third", "4.third"}
