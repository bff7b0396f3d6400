"""Early exits as a choice of converted models."""

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
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tipsc.dtmc import FoldedChain, supergraph
from tipsc.elastic import (
    ConvertedSupernet,
    CostModel,
    additive_totals,
    convert,
    extract,
    fit_exits,
    trace,
)
from tipsc.errors import ConversionError
from tipsc.lower import LOCATION, lower
from tipsc.paths import Path
from tipsc.train import Data, Split, TrainConfig, calibrate, train
from tipsc.train.samplers import adaptive, sampler

TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order
IMAGE = (4, 3, 16, 16)
MOST = 24  # paths of a space that are compared with each other


def resnet() -> nn.Module:
    """Three stages of two blocks."""
    stages, width = [], 8
    for number in range(3):
        outputs = 8 * 2**number
        first = conv.BasicBlock(width, outputs, 1 if number == 0 else 2)
        stages.append(nn.Sequential(first, conv.BasicBlock(outputs, outputs, 1)))
        width = outputs
    return nn.Sequential(conv.conv_bn(3, 8), *stages, conv.Head(width))


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


def made(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """A model whose norms have statistics, in eval mode, and a batch."""
    torch.manual_seed(0)
    model, x = build(), torch.randn(shape)
    with torch.no_grad():
        model.train()(x)
    return model.eval(), x


@pytest.fixture(scope="module", params=NETS)
def case(request: pytest.FixtureRequest) -> Case:
    net = NETS[request.param]
    model, x = made(net.build, net.shape)
    return Case(net, model, convert(model, x, widths=(0.5, 1.0), exits=True), x)


def apart(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return ((got - expected).abs().max() / expected.abs().max()).item()


def some_paths(supernet: ConvertedSupernet, count: int) -> list[Path]:
    """All of each exit, the smallest, and random paths."""
    space, generator = supernet.space, random.Random(3)
    drawn = [space.sample_options(generator) for _ in range(count)]
    return list(dict.fromkeys([*supernet.spanning, space.smallest, *drawn]))


def stages_of(supernet: ConvertedSupernet) -> dict[int, str]:
    """The module after which each exit stands."""
    return {row.number: row.stage for row in supernet.report.exits}


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
        got = torch.from_numpy(np.asarray(session.run(None, {"input": case.x[:1].numpy()})[0]))
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


class Growing(nn.Module):
    """Residual stages over time with more and more channels; the last step is what counts."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(4, 12, 3, padding=1)
        self.body = nn.ModuleList(seq._TemporalBlock(12, 1) for _ in range(2))
        self.two = nn.Conv1d(12, 24, 3, padding=1)
        self.rest = nn.ModuleList(seq._TemporalBlock(24, 1) for _ in range(2))
        self.head = nn.Linear(24, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        for block in self.body:
            x = block(x)
        x = self.two(x)
        for block in self.rest:
            x = block(x)
        return self.head(x[..., -1])


class Words(nn.Module):
    """Tokens of which some are padding: nothing looks at it, and the mean leaves it out."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.embed = nn.Embedding(17, 16, padding_idx=0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        padded = tokens == 0
        x = self.encoder(self.embed(tokens), src_key_padding_mask=padded)
        kept = (~padded).unsqueeze(-1).float()
        return self.head(self.norm((x * kept).sum(1) / kept.sum(1)))


def test_a_new_head_takes_the_last_step_where_the_model_does() -> None:
    model, x = made(Growing, (4, 4, 20))
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    (leave,) = supernet.leaves
    assert "last place" in str(supernet.report)
    path = supernet.space.path({**supernet.space.largest.options, "exit": leave.option})
    with torch.no_grad():
        features = model.body[1](model.body[0](model.one(x)))
        expected = supernet.get_submodule(leave.linear)(features[:, :, -1])
        assert apart(supernet(x, path), expected) < TOLERANCE
        assert apart(extract(supernet, path)(x), expected) < TOLERANCE


def test_a_copied_head_reads_the_mask_that_the_model_reads() -> None:
    torch.manual_seed(0)
    model, tokens = Words().eval(), torch.randint(1, 17, (4, 7))
    tokens[1, 4:] = tokens[2, 2:] = 0
    supernet = convert(model, tokens, widths=(0.5, 1.0), exits=True)
    (leave,) = supernet.leaves
    assert "a copy of the model's head" in str(supernet.report)
    path = supernet.space.path({**supernet.space.largest.options, "exit": leave.option})
    model.encoder.layers = model.encoder.layers[:1]
    with torch.no_grad():
        assert apart(supernet(tokens, path), model(tokens)) < TOLERANCE
        assert apart(extract(supernet, path)(tokens), model(tokens)) < TOLERANCE


class Tied(nn.Module):
    """A skip over a stage, as in a U-Net: the head reads two feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv.conv_bn(3, 8)
        self.one = nn.Sequential(conv.BasicBlock(8, 8, 1), conv.BasicBlock(8, 8, 1))
        self.down = conv.conv_bn(8, 16, stride=2)
        self.two = nn.Sequential(conv.BasicBlock(16, 16, 1), conv.BasicBlock(16, 16, 1))
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.two(self.down(self.one(x)))
        return self.head(torch.cat((x.mean((2, 3)), y.mean((2, 3))), 1))


class Beside(Tied):
    """A second branch that sees the input by itself."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.down(self.one(self.stem(x))))
        return self.head(torch.cat((self.stem(x).mean((2, 3)), y.mean((2, 3))), 1))


def with_probabilities() -> nn.Module:
    return nn.Sequential(*resnet(), nn.LogSoftmax(-1))


def plain() -> nn.Module:
    """Nothing but residual blocks of one shape at the end: it would save nothing."""
    return nn.Sequential(conv.conv_bn(3, 8), conv.BasicBlock(8, 8, 1), conv.Head(8))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (conv.UNet, "its output is not one vector of scores for each example"),
        (conv.DenseNet, "it would save 0 % of the MACs only"),
        (Tied, "later layers read stem.2 too, across it"),
        (Beside, "layers beside it are read later: stem.0"),
        (with_probabilities, "does not come from a linear layer but from log_softmax"),
        (plain, "the model's own head follows"),
    ],
)
def test_where_it_is_not_possible_there_is_no_exit_but_the_reason(
    build: Callable[[], nn.Module], reason: str
) -> None:
    model, x = made(build, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    assert not supernet.leaves and "exit" not in {c.name for c in supernet.space.choices}
    assert all(reason in (row.reason or "") for row in supernet.report.exits)
    assert reason in " ".join(str(supernet.report).split())
    with torch.no_grad():
        assert apart(supernet(x, supernet.space.largest), model(x)) < TOLERANCE


def test_an_elastic_feature_map_gets_a_head_that_follows_its_width() -> None:
    """It has the shape that the model's own head reads, which is fixed."""

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [
                m for i in range(8) for m in (nn.Conv2d(16 if i else 3, 16, 3, 1, 1), nn.ReLU())
            ]
            self.body, self.head = nn.Sequential(*layers), nn.Linear(16, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.normalize(self.body(x), dim=1).mean((2, 3)))

    model, x = made(Normed, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    assert supernet.leaves
    with torch.no_grad():
        for path in some_paths(supernet, 6):
            assert apart(extract(supernet, path)(x), supernet(x, path)) < TOLERANCE


def test_a_stage_that_is_asked_for_and_cannot_be_left_is_refused() -> None:
    with pytest.raises(ConversionError, match="cannot leave after stage 1: later layers read"):
        convert(Tied(), torch.randn(IMAGE), exits=(1,))


@pytest.mark.parametrize(
    ("wanted", "options"), [(1, (1, 3)), (9, (1, 2, 3)), ((2,), (2, 3))], ids=str
)
def test_how_many_exits_or_which(wanted: int | tuple[int, ...], options: tuple[int, ...]) -> None:
    model, x = made(resnet, IMAGE)
    space = convert(model, x, widths=(1.0,), depth=False, exits=wanted).space
    assert [(choice.name, choice.options) for choice in space.choices] == [("exit", options)]


def test_a_long_last_stage_is_divided() -> None:
    class Hybrid(nn.Module):
        """A stage of one convolutional block, then five of another kind."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(conv.conv_bn(3, 8), conv.BasicBlock(8, 8, 1))
            self.patch = nn.Conv2d(8, 16, 4, 4)
            self.blocks = nn.Sequential(*(seq.Block(16, 2) for _ in range(5)))
            self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patch(self.stem(x)).flatten(2).transpose(1, 2)
            return self.head(self.norm(self.blocks(x)).mean(1))

    model, x = made(Hybrid, IMAGE)
    supernet = convert(model, x, widths=(1.0,), exits=True)
    ends = {row.number: (row.stage, row.head) for row in supernet.report.exits}
    copy = "a copy of the model's head"
    assert ends == {
        1: ("stem.1", "mean over places, new linear layer"),
        2: ("blocks.0", copy),
        3: ("blocks.1", copy),
        4: ("blocks.3", copy),
        5: ("blocks.4", None),
    }
    # A stage that begins where paths can leave keeps a block.
    options = {c.name: c.options for c in supernet.space.choices}
    assert options == {
        "exit": (1, 2, 3, 4, 5), "stem.1.depth": (0, 1), "blocks.0.depth": (0, 1),
        "blocks.depth": (1, 2),
    }  # fmt: skip


@pytest.mark.parametrize("wanted", [0, (), (0,), -1], ids=str)
def test_what_is_no_number_of_a_stage_is_refused(wanted: int | tuple[int, ...]) -> None:
    with pytest.raises(ConversionError, match="these are no early exits"):
        convert(resnet(), torch.randn(IMAGE), exits=wanted)


def test_a_model_may_have_modules_that_are_called_like_parts_of_a_supernet() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.space = conv.conv_bn(3, 8)
            self.exits = nn.Sequential(conv.BasicBlock(8, 8, 1), conv.BasicBlock(8, 8, 1))
            self.leaves = conv.conv_bn(8, 16)
            self.forward_ = conv.Head(16)

        def forward(self, x: Tensor) -> Tensor:
            return self.forward_(self.leaves(self.exits(self.space(x))))

    model, x = made(Odd, IMAGE)
    supernet = convert(model, x, exits=True)
    with torch.no_grad():
        assert apart(supernet(x, supernet.space.largest), model(x)) < TOLERANCE
    assert supernet.space["exit"].options == (1, 2, 3)


class Digits(nn.Module):
    """Reads the 8x8 digits of scikit-learn."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv.conv_bn(1, 16)
        self.one = nn.Sequential(conv.BasicBlock(16, 16, 1), conv.BasicBlock(16, 16, 1))
        self.two = nn.Sequential(conv.BasicBlock(16, 32, 2), conv.BasicBlock(32, 32, 1))
        self.head = conv.Head(32)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(self.stem(x))))


def digits() -> Data:
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    labels = torch.tensor(found.target, dtype=torch.int64)
    parts = (slice(0, 1200), slice(1200, 1500), slice(1500, None))
    return Data(*(Split(images[p], labels[p]) for p in parts), tuple("0123456789"))


def test_heads_are_fitted_in_closed_form_and_learn_in_the_loop(tmp_path: FilePath) -> None:
    data = digits()
    torch.manual_seed(0)
    original = Digits()
    optimizer = torch.optim.AdamW(original.parameters(), 0.01)
    for inputs, targets in list(data.train.batches(64)) * 4:
        optimizer.zero_grad()
        nn.functional.cross_entropy(original(inputs), targets).backward()
        optimizer.step()
    original.eval()
    supernet = convert(original, data.train.inputs[:2], widths=(0.5, 1.0), exits=True)
    space = supernet.space
    early = space.path({**space.largest.options, "exit": 1})
    narrow = space.path({"exit": 1, "one.depth": 2})

    def accuracy(path: Path) -> float:
        module = extract(supernet, path, calibrate(supernet, path, data.calibration(512)))
        with torch.no_grad():
            right = module(data.test.inputs).argmax(1) == data.test.targets
        return right.float().mean().item()

    drawn = accuracy(early)
    explained = fit_exits(supernet, data.calibration(512))
    fitted = accuracy(early)
    assert drawn < 0.35 and fitted > drawn + 0.2
    assert 0 < explained[1] < 1
    config = TrainConfig(
        epochs=3,
        frozen_epochs=0,
        batch_size=64,
        learning_rate=0.01,
        sampler="uniform",
        paths_per_step=2,
    )
    train(supernet, data, config, folder=tmp_path, original=original)
    assert accuracy(early) > 0.7  # chance is 0.1
    assert accuracy(narrow) > 0.6
