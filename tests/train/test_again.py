"""Parts of what paths share, trained again: they alone change, as the paths ship."""

from __future__ import annotations

import pytest
import torch
from digits import load, make

from tipsc.elastic import Statistics, Supernet, extract
from tipsc.errors import TrainingError
from tipsc.lower.parts import parts_of
from tipsc.paths import Path
from tipsc.train import TrainConfig, calibrate, quality_of
from tipsc.train.again import train_again

DATA = load()
SETTINGS = TrainConfig(epochs=6, frozen_epochs=0, batch_size=64, learning_rate=0.05, device="cpu")


@pytest.fixture
def supernet() -> Supernet:
    return make().eval()


def shipped(supernet: Supernet) -> dict[Path, Statistics]:
    images = DATA.calibration(256)
    space = supernet.space
    return {path: calibrate(supernet, path, images) for path in (space.smallest, space.largest)}


def state(supernet: Supernet) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in supernet.state_dict().items()}


def test_only_what_is_named_changes_and_all_paths_gain(supernet: Supernet) -> None:
    paths = shipped(supernet)
    names = set(parts_of(supernet, supernet.space.largest).head.names)
    before = state(supernet)

    def share(path: Path) -> float:
        module = extract(supernet, path, paths[path])
        return quality_of(module, DATA.validation, DATA.judged_by).value

    shares = {path: share(path) for path in paths}
    train_again(supernet, paths, names, DATA, SETTINGS)
    after = state(supernet)
    assert {name for name in before if not torch.equal(before[name], after[name])} == names
    for path, was in shares.items():
        assert share(path) > was + 0.05  # a head of chance before, over features of chance


def test_what_a_path_has_for_itself_it_keeps(supernet: Supernet) -> None:
    paths = shipped(supernet)
    (name,) = parts_of(supernet, supernet.space.largest).head.names
    own = supernet.get_parameter(name).detach().clone()
    alone = supernet.space.largest
    paths[alone] = Statistics(alone.id, paths[alone].mean, {}, paths[alone].ratio, {name: own})
    train_again(supernet, paths, {name}, DATA, SETTINGS)  # on the other path alone
    assert not torch.equal(supernet.get_parameter(name), own)
    with pytest.raises(TrainingError, match="each path has of its own"):
        train_again(supernet, {alone: paths[alone]}, {name}, DATA, SETTINGS)


def test_the_same_training_gives_the_same_bits(supernet: Supernet) -> None:
    paths = shipped(supernet)
    names = parts_of(supernet, supernet.space.largest).head.names
    start = state(supernet)
    train_again(supernet, paths, names, DATA, SETTINGS)
    first = state(supernet)
    supernet.load_state_dict(start)
    train_again(supernet, paths, names, DATA, SETTINGS)
    assert all(torch.equal(value, first[name]) for name, value in state(supernet).items())


def test_a_loss_that_is_no_number_is_said(supernet: Supernet) -> None:
    paths = shipped(supernet)
    names = parts_of(supernet, supernet.space.largest).head.names
    with torch.no_grad():
        supernet.get_parameter(names[0]).fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"the loss is nan.*lower train.learning_rate"):
        train_again(supernet, paths, names, DATA, SETTINGS)
