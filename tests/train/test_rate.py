"""The range test: what it finds trains better than far from it; it changes nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from digits import load, make
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tipsc.convert import convert
from tipsc.paths import Path as Subnet
from tipsc.tasks import Classification
from tipsc.train import Data, Split, TrainConfig, train
from tipsc.train.rate import FEWEST, FILE, HIGH, LOW, MOST, STEPS, best_of

CONFIG = TrainConfig(epochs=1, frozen_epochs=0, batch_size=16, find_rate=True, threads=1)


def few_paths() -> list[Subnet]:
    space = make().space
    return [space.smallest, space.largest]


def final_loss(config: TrainConfig, folder: Path) -> float:
    history = train(make(), load(), config, folder=folder, paths=few_paths())
    return sum(step.loss for step in history.steps[-20:]) / 20


def test_found_rate_is_the_peak_and_trains_better_than_far_from_it(tmp_path: Path) -> None:
    history = train(make(), load(), CONFIG, folder=tmp_path / "found", paths=few_paths())
    found = json.loads((tmp_path / "found" / FILE).read_text())
    assert LOW < found["rate"] < HIGH
    assert max(step.learning_rate for step in history.steps) == pytest.approx(found["rate"], 1e-2)
    best = sum(step.loss for step in history.steps[-20:]) / 20
    for factor in (0.01, 30.0):
        other = replace(CONFIG, find_rate=False, learning_rate=factor * found["rate"])
        assert best < final_loss(other, tmp_path / str(factor))


def test_an_interrupted_training_keeps_the_rate_that_it_found(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"rate": 0.00123}')
    history = train(make(), load(), CONFIG, folder=tmp_path, paths=few_paths())
    peak = max(step.learning_rate for step in history.steps)
    assert peak == pytest.approx(0.00123, 1e-2)


def test_too_few_batches_leave_the_rate_that_is_given(tmp_path: Path) -> None:
    data = load()
    inputs, targets = data.train.take(range(CONFIG.batch_size * (FEWEST - 1)))
    few = replace(data, train=Split(inputs, targets))
    history = train(make(), few, CONFIG, folder=tmp_path, paths=few_paths())
    assert not (tmp_path / FILE).exists()
    peak = max(step.learning_rate for step in history.steps)
    assert peak == pytest.approx(CONFIG.learning_rate, 1e-2)


def test_the_test_leaves_no_trace_in_what_is_trained(tmp_path: Path) -> None:
    """With the rate that it finds given, the same weights come out, to the bit."""
    tested = make()
    train(tested, load(), CONFIG, folder=tmp_path / "tested", paths=few_paths())
    rate = json.loads((tmp_path / "tested" / FILE).read_text())["rate"]
    other = make()
    config = replace(CONFIG, find_rate=False, learning_rate=rate)
    train(other, load(), config, folder=tmp_path / "given", paths=few_paths())
    for name, value in other.state_dict().items():
        assert torch.equal(value, tested.state_dict()[name]), name


def test_short_epochs_are_gone_through_until_the_test_has_all_its_steps(tmp_path: Path) -> None:
    data = load()
    inputs, targets = data.train.take(range(CONFIG.batch_size * FEWEST))
    few = replace(data, train=Split(inputs, targets))
    train(make(), few, CONFIG, folder=tmp_path, paths=few_paths())
    seen = json.loads((tmp_path / FILE).read_text())
    # A window of losses is as long as a few steps; a test that loses all ends before.
    assert len(seen["losses"]) > FEWEST or max(seen["losses"]) > 1.9 * min(seen["losses"])
    assert seen["rates"][1] / seen["rates"][0] == pytest.approx((HIGH / LOW) ** (1 / (STEPS - 1)))


def test_paths_of_a_trained_model_get_no_rate_that_could_destroy_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
    inputs = torch.randn(CONFIG.batch_size * STEPS, 8)
    part = Split(inputs, inputs[:, :4].argmax(1))
    data = Data(part, part, part, Classification(tuple("abcd")))
    supernet = convert(plain, inputs[:1], widths=(0.5, 1.0))
    paths = [supernet.space.smallest, supernet.space.largest]
    train(supernet, data, CONFIG, folder=tmp_path, paths=paths, original=plain)
    seen = json.loads((tmp_path / FILE).read_text())
    assert seen["rates"][best_of(seen["losses"])] > MOST == seen["rate"]


@given(st.lists(st.floats(0.01, 10.0), min_size=1, max_size=60))
def test_the_rate_that_is_taken_is_of_a_loss_that_is_near_the_least(losses: list[float]) -> None:
    place, least = best_of(losses), min(losses)
    near = least + 0.05 * (losses[0] - least)
    assert losses[place] <= near and all(loss > near for loss in losses[:place])


def test_in_a_wide_valley_the_lowest_rate_is_taken() -> None:
    assert best_of([1.0, 0.9, 0.5, 0.24, 0.2, 0.22, 0.18, 0.17, 0.19, 0.6]) == 4
    assert best_of([1.0, float("inf")]) == 0  # it is lost at once
