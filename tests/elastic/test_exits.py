"""Early exits as a choice of converted models: what paths that leave compute and cost."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from architectures import convolutional as conv
from architectures import sequential as seq
from comparing import apart
from exits import IMAGE, TOLERANCE, made, resnet, some_paths, stages_of
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tipsc.convert import ConvertedSupernet, convert
from tipsc.dtmc import FoldedChain, supergraph
from tipsc.elastic import CostModel, additive_totals, extract, trace
from tipsc.lower import LOCATION, lower
from tipsc.train.samplers import adaptive, sampler

MOST = 24  # paths of a space that are compared with each other


def mobilenet_v1() -> nn.Module:
    """No residual blocks, so that the width at each stage's end is elastic."""
    layers, width = [conv.conv_bn(3, 8)], 8
    for outputs, stride in ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1)):
        depthwise = conv.conv_bn(width, width, 3, stride, width)
        layers += [nn.Sequential(depthwise, conv.conv_bn(width, outputs, 1))]
        width = outputs
    return nn.Sequential(*layers, conv.Head(width))


def perceptron() -> nn.Module:
    """Feature maps that all have the same places, namely none."""
    hidden = [layer for _ in range(6) for layer in (nn.Linear(48, 48), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(48, 10))


def by_step() -> nn.Module:
    """Linear layers at each step of a series: channels last, as many places throughout."""
    layers = [m for i in range(9) for m in (nn.Linear(48 if i else 6, 48), nn.ReLU())]

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.out = (
                nn.Sequential(*layers, nn.Linear(48, 16), nn.ReLU()),
                nn.Linear(16, 5),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.body(x).mean(1))

    return Steps()


@dataclass(frozen=True)
class Net:
    """A model, and what its exits must be.

    Attributes:
        head: what an exit makes of a feature map, given its linear layer.
        exits: the options of the choice.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    head: Callable[[nn.Module, Tensor, nn.Module], Tensor]
    exits: tuple[int, ...]


def over_places(_: nn.Module, features: Tensor, linear: nn.Module) -> Tensor:
    return linear(features.mean((2, 3)))


NETS = {
    "ResNet": Net(resnet, IMAGE, over_places, (1, 2, 3)),
    "MobileNetV2": Net(conv.mobilenet_v2, IMAGE, over_places, (1, 2, 3)),
    "ViT": Net(seq.ViT, IMAGE, lambda m, f, linear: linear(m.norm(f)[:, 0]), (1, 2, 3)),
    "MobileNetV1": Net(mobilenet_v1, IMAGE, over_places, (1, 2, 3)),
    "perceptron": Net(perceptron, (4, 48), lambda m, f, linear: linear(f), (1, 2, 3)),
    "by step": Net(by_step, (4, 7, 6), lambda m, f, linear: linear(f.mean(1)), (1, 2, 3, 4)),
    "TCN": Net(seq.TCN, (4, 4, 20), lambda m, f, linear: linear(f[:, :, -1]), (1, 2, 3)),
}


@dataclass(frozen=True)
class Case:
    net: Net
    model: nn.Module
    supernet: ConvertedSupernet
    x: Tensor


@pytest.fixture(scope="module", params=NETS)
def case(request: pytest.FixtureRequest) -> Case:
    net = NETS[request.param]
    model, x = made(net.build, net.shape)
    return Case(net, model, convert(model, x, widths=(0.5, 1.0), exits=True), x)


def test_the_end_is_the_original_and_an_exit_is_its_head_on_a_feature_map(case: Case) -> None:
    first = case.supernet.space.choices[0]
    assert (first.name, first.options) == ("exit", case.net.exits)
    # At full width only, since an elastic one has its channels in an order of its own.
    supernet = convert(case.model, case.x, widths=(1.0,), exits=True)
    space = supernet.space
    features: dict[str, Tensor] = {}
    for stage in stages_of(supernet).values():
        case.model.get_submodule(stage).register_forward_hook(
            lambda _, __, output, stage=stage: features.update({stage: output})
        )
    with torch.no_grad():
        assert apart(supernet(case.x, space.largest), case.model(case.x)) < TOLERANCE
        for leave in supernet.leaves:
            path = space.path({**space.largest.options, "exit": leave.option})
            seen = features[stages_of(supernet)[leave.option]]
            expected = case.net.head(case.model, seen, supernet.get_submodule(leave.linear))
            assert apart(supernet(case.x, path), expected) < TOLERANCE


def test_each_path_equals_its_extraction_and_computes_what_is_predicted(case: Case) -> None:
    supernet, costs = case.supernet, CostModel(case.supernet)
    totals = additive_totals(supernet)
    for path in some_paths(supernet, 4):
        module, cost = extract(supernet, path), costs.of(path)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = module(case.x[:1])
        with torch.no_grad():
            assert apart(supernet(case.x[:1], path), output) < TOLERANCE
        assert counter.get_total_flops() == 2 * cost.macs
        assert sum(p.numel() for p in module.parameters()) == cost.parameters
        assert totals["macs"].of(path) == cost.macs
        assert totals["parameters"].of(path) == cost.parameters


def test_a_path_that_leaves_has_none_of_the_later_layers(case: Case) -> None:
    supernet, stages = case.supernet, stages_of(case.supernet)
    names = [name for name, _ in case.model.named_modules()]  # in the order of computation
    for path in some_paths(supernet, 4):
        if path["exit"] == case.net.exits[-1]:
            continue
        stage = stages[path["exit"]]
        later = {n for n in names[names.index(stage) :] if n != stage and stage + "." not in n}
        assert later
        assert not later & {name for name, _ in extract(supernet, path).named_modules()}


def test_no_two_paths_are_one_subnetwork(case: Case) -> None:
    supernet = case.supernet
    paths = list(supernet.space.enumerate())
    if len(paths) > MOST:
        paths = random.Random(0).sample(paths, MOST)
    costs = CostModel(supernet)
    bodies = set()
    for path in paths:
        steps = costs.trace(path).steps
        # Without its head: a path that goes on past an exit computes something after it.
        bodies.add(tuple((s.label, s.shape) for s in steps if not s.label.startswith("exits.")))
    assert len(bodies) == len(paths)
    assert len({path.id for path in paths}) == len(paths)


def test_one_export_serves_all_exits(case: Case, tmp_path: FilePath) -> None:
    supernet, paths = case.supernet, some_paths(case.supernet, 3)
    lowered = lower(supernet, paths)
    (tmp_path / LOCATION).write_bytes(lowered.weights)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    weights = {}
    for path in paths:
        (tmp_path / "path.onnx").write_bytes(lowered.graphs[path.id])
        session = onnxruntime.InferenceSession(tmp_path / "path.onnx", options)
        got = torch.from_numpy(
            np.asarray(session.run(None, {session.get_inputs()[0].name: case.x[:1].numpy()})[0])
        )
        with torch.no_grad():
            assert apart(got, supernet(case.x[:1], path)) < TOLERANCE
        graph = onnx.load_from_string(lowered.graphs[path.id]).graph
        weights[path] = sum(np.prod(t.dims) for t in graph.initializer if t.external_data)
    early = sorted(supernet.spanning, key=lambda path: path["exit"])
    assert [weights[path] for path in early] == sorted(weights[path] for path in early)
    assert weights[early[0]] < 0.6 * weights[early[-1]]


def test_the_chain_is_exact_across_exits_and_resolutions() -> None:
    model, x = made(conv.resnet_basic, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True, resolutions=(8,))
    space, macs = supernet.space, additive_totals(supernet)["macs"]
    assert [choice.name for choice in space.choices[:2]] == ["resolution", "exit"]
    paths = list(space.enumerate())
    costs = macs.of_many(paths)
    mu = 3 / costs.mean()
    weights = np.exp(-mu * costs)
    chain = FoldedChain.of(macs, mu=mu, base="paths")
    assert chain.expected_cost == pytest.approx((weights * costs).sum() / weights.sum(), rel=1e-9)
    marginal = {e: weights[[p["exit"] == e for p in paths]].sum() / weights.sum() for e in (1, 2)}
    assert chain.option_marginals()["exit"] == pytest.approx(marginal, rel=1e-9)
    assert chain.cheapest()[0][1] == space.smallest


def test_samplers_draw_exits_and_the_scores_know_them() -> None:
    model, x = made(conv.resnet_basic, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    for name in ("tips", "folded"):
        one = adaptive(sampler(name, supernet))
        drawn = one.draw_with(random.Random(0), 40, lambda path: 1.0)
        assert all(path in supernet.space for path in drawn)
        assert {path["exit"] for path in drawn} == {1, 2}
    graph = supergraph([trace(supernet, path).steps for path in supernet.spanning])
    assert graph.graph.nodes[graph.graph.output] == "output"
    assert not graph.active.all(axis=1).any()  # no path runs all operations
