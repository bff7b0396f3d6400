"""Training of a few paths alone: those that ship."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path as FilePath

import pytest
import torch
from digits import config, load, make

from tipsc.elastic import extract
from tipsc.errors import TrainingError
from tipsc.paths import Path
from tipsc.train import calibrate, evaluate, share_scales, train
from tipsc.train.macs import mac_counter
from tipsc.train.scales import spread_paths


def few() -> list[Path]:
    space = make().space
    return [space.smallest, space.sample(random.Random(3)), space.largest]


def test_they_learn_and_each_gets_as_much_compute(tmp_path: FilePath) -> None:
    supernet, data, paths = make(), load(), few()
    settings = config(
        epochs=20, frozen_epochs=4, learning_rate=0.03, paths_per_step=1, distill=False, thrift=1.0
    )
    history = train(supernet, data, settings, folder=tmp_path, paths=paths)
    macs = mac_counter(supernet)
    by_cost = {round(macs(path)): path for path in paths}
    drawn = Counter(by_cost[round(step.macs)] for step in history)
    assert set(drawn) == set(paths)
    shares = [drawn[path] * macs(path) for path in paths]
    assert max(shares) < 2 * min(shares)  # 1.1 to 1.5 for six seeds
    accuracies = evaluate(supernet, paths, data, split="test")
    assert min(quality.value for quality in accuracies.values()) > 0.8  # measured: 0.87 or more


def test_weights_that_none_of_them_uses_stay_as_they_are(tmp_path: FilePath) -> None:
    supernet, space = make(), make().space
    before = {name: value.clone() for name, value in supernet.named_parameters()}
    settings = config(epochs=1, frozen_epochs=0, weight_decay=0.0, distill=False)
    train(supernet, load(), settings, folder=tmp_path, paths=[space.smallest])
    name = "stages.0.0.expand.weight"
    kept = extract(supernet, space.smallest).get_submodule("stages.0.0.expand").weight.shape[0]
    after = dict(supernet.named_parameters())[name]
    assert not torch.equal(after[:kept], before[name][:kept])
    assert torch.equal(after[kept:], before[name][kept:])


def test_their_scales_are_those_that_are_shared() -> None:
    supernet, batches = make(), [load().train.inputs[:256]]
    smallest = supernet.space.smallest
    own = calibrate(supernet, smallest, batches, own_scale=True).variance
    share_scales(supernet, batches, [smallest])
    for name, variance in own.items():
        shared = supernet.get_submodule(name).get_buffer("running_var")
        torch.testing.assert_close(shared[: len(variance)], variance)
        assert shared[len(variance) :].eq(1).all()  # nobody uses them: as they were


def test_the_paths_of_the_whole_space_have_its_ends() -> None:
    space = make().space
    paths = spread_paths(space, random.Random(0), 5)
    assert paths[:2] == [space.largest, space.smallest] and len(paths) == 5


def test_a_checkpoint_is_of_the_same_paths(tmp_path: FilePath) -> None:
    settings, data, paths = config(epochs=1, frozen_epochs=0), load(), few()
    train(make(), data, settings, folder=tmp_path, paths=paths)
    train(make(), data, settings, folder=tmp_path, paths=paths)  # done already
    for others in ((), paths[:2]):
        with pytest.raises(TrainingError, match="another training"):
            train(make(), data, settings, folder=tmp_path, paths=others)
