"""A path that loses by sharing gets what it lacks for itself, the cheapest first, and no more."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path as FilePath

import pytest
import torch

from tipsc.elastic import Statistics, Supernet, extract, family
from tipsc.lower.parts import parts_of
from tipsc.pipeline.ladder import SHARES, Teaching, climb, layer_gains, rungs_of
from tipsc.tasks import Classification
from tipsc.train import Data, Split, TrainConfig, calibrate, train
from tipsc.train.private import train_private

CONFIG = TrainConfig(epochs=8, frozen_epochs=1, batch_size=32, learning_rate=0.02, threads=1)


def load() -> Data:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(900) % 4
    x = 0.3 * torch.randn(900, 1, 8, generator=generator) + y[:, None, None] / 2 - 0.75
    splits = (Split(x[i : i + 300], y[i : i + 300]) for i in (0, 300, 600))
    return Data(*splits, Classification(tuple("abcd")))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    torch.manual_seed(0)
    supernet = family("temporal", classes=4, input_shape=(1, 8), channels=(8,), depths=(1, 2))
    paths = [supernet.space.smallest, supernet.space.largest]
    train(supernet, load(), CONFIG, folder=tmp_path_factory.mktemp("joint"), paths=paths)
    return supernet.eval()


@pytest.fixture
def supernet(trained: Supernet) -> Supernet:
    return copy.deepcopy(trained)


def statistics_of(supernet: Supernet) -> Statistics:
    return calibrate(supernet, supernet.space.smallest, load().calibration(256))


def teaching(limit: float = 0.02, steps: int = 60) -> Teaching:
    return Teaching(load(), CONFIG, steps, limit)


def test_a_path_that_does_not_lose_shares_all(supernet: Supernet) -> None:
    found = climb(supernet, supernet.space.smallest, statistics_of(supernet), teaching(limit=0.2))
    assert found.rungs == ()
    assert found.ships is found.shared and found.ships.values == 0
    assert found.shared.quality.value > 0.7  # measured: 0.83; else there is nothing to share


def test_biases_are_enough_where_they_are_what_is_wrong(supernet: Supernet) -> None:
    path, statistics = supernet.space.smallest, statistics_of(supernet)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    supernet.get_parameter("classifier.bias").data[0] += 3.0
    found = climb(supernet, path, statistics, teaching())
    assert [rung.label for rung in found.rungs] == ["bias"]
    assert found.ships is found.rungs[0].stand
    assert found.ships.values == 4  # those of the classifier: the norms leave theirs to each path
    assert found.alone.judged.over(found.ships.judged).amount <= 0.02 < found.lost.amount
    supernet.get_parameter("classifier.bias").data[0] -= 3.0
    for name, value in supernet.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_what_does_not_gain_is_not_kept(supernet: Supernet) -> None:
    supernet.get_parameter("classifier.weight").data.zero_()
    supernet.get_parameter("classifier.bias").requires_grad_(False)
    path = supernet.space.smallest
    found = climb(supernet, path, statistics_of(supernet), teaching())
    assert [(rung.label, rung.kept) for rung in found.rungs] == [("bias", False), ("head", True)]
    assert set(found.ships.statistics.own) == {"classifier.weight"}
    assert found.ships.values == found.ships.statistics.own["classifier.weight"].numel()


def test_all_is_the_end_of_the_way(supernet: Supernet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tipsc.pipeline.ladder.rungs_of", lambda parts, gains: iter(()))
    supernet.get_parameter("classifier.weight").data.zero_()
    path = supernet.space.smallest
    found = climb(supernet, path, statistics_of(supernet), teaching())
    assert [rung.label for rung in found.rungs] == ["all"]
    assert found.ships is found.alone
    assert found.ships.values == parts_of(supernet, path).whole.values


def test_gains_of_layers_sum_up_to_what_the_loss_falls_by(supernet: Supernet) -> None:
    path, data, statistics = supernet.space.smallest, load(), statistics_of(supernet)
    generator, layers = torch.Generator().manual_seed(0), parts_of(supernet, path).layers
    module = dict(extract(supernet, path, statistics).named_parameters())
    moved = {
        name: module[name].detach() * (1 + 0.05 * torch.randn((), generator=generator))
        for layer in layers
        for name in layer.names
    }
    private = replace(statistics, own=moved)
    gains = layer_gains(supernet, path, statistics, private, layers, data)
    x, y = data.validation.inputs, data.validation.targets
    shared, alone = (
        data.task.loss(extract(supernet, path, s)(x), y).item() for s in (statistics, private)
    )
    assert sum(gains) == pytest.approx(shared - alone, rel=0.1)  # of the second order
    assert abs(shared - alone) > 1e-3


def test_layers_come_by_what_they_gain_for_their_bytes(supernet: Supernet) -> None:
    parts = parts_of(supernet, supernet.space.largest)
    best = 1
    gains = [layer.values * (2.0 if i == best else 1.0) for i, layer in enumerate(parts.layers)]
    (bias, head, *layers) = list(rungs_of(parts, gains))
    assert (bias, head) == (("bias", (parts.biases,)), ("head", (parts.head,)))
    assert layers[0][1][0] == parts.layers[best]
    most = sum(layer.values for layer in parts.layers)
    for (label, taken), share in zip(layers, SHARES, strict=False):
        assert share * most <= sum(layer.values for layer in taken) < most
        assert label == f"{len(taken)} of {len(parts.layers)} layers"
    for (_, below), (_, above) in itertools.pairwise(layers):
        assert above[: len(below)] == below


def test_what_is_private_is_trained_and_nothing_else(supernet: Supernet) -> None:
    path, statistics = supernet.space.smallest, statistics_of(supernet)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    names = frozenset(parts_of(supernet, path).head.names)
    first, second = (
        train_private(supernet, path, statistics, names, load(), CONFIG, 12) for _ in range(2)
    )
    assert set(first.own) == names
    for name, value in first.own.items():
        assert not torch.equal(value, before[name][: value.shape[0], : value.shape[1]])
        assert torch.equal(value, second.own[name])  # all chance depends on the seed
    for name, value in supernet.state_dict().items():
        assert torch.equal(value, before[name])
    for name, mean in first.mean.items():
        torch.testing.assert_close(mean, statistics.mean[name], rtol=1e-3, atol=1e-3)


def test_an_infinite_loss_is_an_error_that_says_what_to_do(
    supernet: Supernet, tmp_path: FilePath
) -> None:
    supernet.get_parameter("classifier.bias").data.fill_(float("nan"))
    path, names = supernet.space.smallest, frozenset(["classifier.weight"])
    with pytest.raises(Exception, match=r"by itself, step 0 of 12: .*share_loss: null"):
        train_private(supernet, path, statistics_of(supernet), names, load(), CONFIG, 12)
