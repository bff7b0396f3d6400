"""What only looks at a net changes nothing of it: modes, statistics, chance, gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.batch import Batch
from tipsc.convert import convert, fit_exits, taylor
from tipsc.elastic import Supernet
from tipsc.elastic.looking import looking, trying
from tipsc.elastic.trace import trace
from tipsc.lower import lower
from tipsc.pipeline.original import score_original
from tipsc.project.config import load_config
from tipsc.tasks import Classification
from tipsc.train import Data, Split, TrainConfig, Unlabelled, calibrate, train
from tipsc.train.passes import Trial


class Net(nn.Module):
    """With all that behaves otherwise in training, one norm of which its owner froze."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.frozen = nn.BatchNorm2d(8)
        self.noisy = nn.Sequential(nn.Dropout2d(0.3), nn.AlphaDropout(0.3))
        self.features = nn.FeatureAlphaDropout(0.3)
        self.hidden = nn.Linear(8, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(self.noisy(self.frozen(self.norm(self.stem(x)).relu())))
        x = F.dropout(x.mean((2, 3)), 0.3, self.training)
        return self.head(self.hidden(x).relu())


class Decided(Net):
    """Its answers are of several classes, untrained as it is."""

    def forward(self, x: Tensor) -> Tensor:
        sign = x.mean((1, 2, 3))[:, None] * torch.tensor([1e4, -1e4, 0.0, 0.0])
        return super().forward(x) + sign


def made(kind: type[Net] = Net) -> Net:
    torch.manual_seed(0)
    net = kind().train()
    net.frozen.eval()
    return net


IMAGES = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def _data() -> Data:
    split = Split(IMAGES, torch.arange(40) % 4)
    return Data(split, split, split, Classification(tuple("abcd")))


def state(net: nn.Module) -> tuple[Any, ...]:
    return (
        [module.training for module in net.modules()],
        {name: value.clone() for name, value in [*net.named_parameters(), *net.named_buffers()]},
        {name: p.grad for name, p in net.named_parameters()},
        torch.get_rng_state(),
    )


def same(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    return (
        before[0] == after[0]
        and all(torch.equal(value, after[1][name]) for name, value in before[1].items())
        and all(gradient is None for gradient in after[2].values())
        and torch.equal(before[3], after[3])
    )


def _look(net: nn.Module) -> None:
    with looking(net):
        net(IMAGES)


def _try(net: nn.Module) -> None:
    with trying(net):
        net(IMAGES)


PLAIN: dict[str, Callable[[nn.Module], object]] = {
    "looking": _look,
    "trying": _try,
    "convert": lambda net: convert(net, IMAGES),
    "importance": lambda net: convert(
        net, IMAGES, importance=taylor([(IMAGES, _data().train.targets)], F.cross_entropy)
    ),
    "answers": lambda net: Unlabelled(IMAGES, IMAGES, IMAGES).answered_by(net),
    "original's score": lambda net: score_original(net, _data(), Classification(), 10),
}
ELASTIC: dict[str, Callable[[Supernet], object]] = {
    "trace": lambda net: trace(net, net.space.smallest),
    "lower": lambda net: lower(
        net,
        [net.space.smallest],
        {net.space.smallest.id: calibrate(net, net.space.smallest, [IMAGES])},
    ),
    "calibrate": lambda net: calibrate(net, net.space.smallest, [IMAGES]),
    "trial": lambda net: Trial(net, Batch(IMAGES, _data().train.targets), Classification())(
        net.space.smallest
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_users_model_is_left_as_it_was(name: str) -> None:
    net = made(Decided if name == "answers" else Net)
    before = state(net)
    PLAIN[name](net)
    assert same(before, state(net))


@pytest.mark.parametrize("name", ELASTIC)
def test_a_supernet_is_left_as_it_was(name: str) -> None:
    net = convert(made(), IMAGES).train()
    net.get_submodule("norm").eval()
    before = state(net)
    ELASTIC[name](net)
    assert same(before, state(net))


def test_fitting_exits_leaves_the_modes() -> None:
    net = convert(made(), IMAGES, exits=True).train()
    net.get_submodule("norm").eval()
    modes = [module.training for module in net.modules()]
    fit_exits(net, [IMAGES])
    assert modes == [module.training for module in net.modules()]


def test_a_trial_is_the_same_twice_and_uses_the_batch_s_statistics() -> None:
    net = convert(made(), IMAGES).train()
    trial = Trial(net, Batch(IMAGES, _data().train.targets), Classification())
    first = trial(net.space.largest)
    assert first == trial(net.space.largest)
    rested = copy.deepcopy(net).eval()
    for name in ("norm", "frozen"):
        rested.get_submodule(name).train()
    expected = F.cross_entropy(rested(IMAGES, net.space.largest), _data().train.targets)
    assert first == pytest.approx(float(expected.detach()), rel=1e-5)


def test_the_shape_check_before_training_moves_no_statistics(tmp_path: Any) -> None:
    net = convert(made(), IMAGES).train()
    before = copy.deepcopy(dict(net.named_buffers()))
    wrong = Data(*[_data().train] * 3, Classification(tuple("abcde")))
    with pytest.raises(Exception, match="another number of outputs"):
        train(net, wrong, TrainConfig(epochs=1, frozen_epochs=0), folder=tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())


def test_the_shape_check_of_a_build_moves_no_statistics(tmp_path: Any) -> None:
    from tipsc.project.loading import check_fit

    (tmp_path / "tipsc.yaml").write_text(
        "name: m\nmodel: {callable: 'model.py:load'}\ndata: {callable: 'data.py:load'}\n"
    )
    net = convert(made(), IMAGES).train()
    net.get_submodule("norm").eval()
    before = state(net)
    check_fit(load_config(tmp_path)[0], net, _data())
    assert same(before, state(net))
