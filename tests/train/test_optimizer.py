"""Optimizers and schedules of torch by their names, and averaged weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from digits import config, load, make
from torch import nn

from tipsc.errors import ConfigError
from tipsc.train import TrainConfig, restore, train
from tipsc.train.average import Average
from tipsc.train.schedules import SCHEDULES
from tipsc.train.torch_optimizers import OPTIMIZERS, make_optimizer

SGD = {"optimizer": "SGD", "optimizer_options": {"momentum": 0.9, "nesterov": True}}
NEEDED: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 4}, "MultiStepLR": {"milestones": [3, 7]},
    "ExponentialLR": {"gamma": 0.5}, "ConstantLR": {"total_iters": 4},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
}  # fmt: skip
LENGTH = {"PolynomialLR": "total_iters", "LinearLR": "total_iters",
          "CosineAnnealingLR": "T_max"}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_moves_the_weights_as_torch_s_own(name: str) -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    decays = {"weight_decay": 0.1} if name != "Adagrad" else {"weight_decay": 0.0}
    made = make_optimizer(name, {}, list(ours.parameters()), 0.01, decays["weight_decay"])
    plain = getattr(torch.optim, name)(
        [{"params": [theirs.weight], **decays}, {"params": [theirs.bias], "weight_decay": 0.0}],
        0.01,
    )
    x = torch.randn(4, 3)
    for model, optimizer in ((ours, made), (theirs, plain)):
        for _ in range(3):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", SCHEDULES[2:])
def test_a_schedule_goes_as_torch_s_own(name: str) -> None:
    options = NEEDED.get(name, {})
    settings = config(schedule=name, schedule_options=options, learning_rate=0.5)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    lengths = {LENGTH[name]: 10} if name in LENGTH else {}
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options, **lengths)
    expected = []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert [settings.rate(step, 10) for step in range(10)] == pytest.approx(expected)
    assert len(set(expected)) > 1
    part = config(schedule=name, schedule_options=options, learning_rate=0.5, cycle=(0.5, 1.0))
    assert [part.rate(step, 5) for step in range(5)] == pytest.approx(expected[5:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "Sgd"}, r"train\.optimizer: 'Sgd' is not known.*SGD"),
        ({**SGD, "optimizer_options": {"momentun": 1}}, r"options\.momentun.*momentum"),
        ({**SGD, "optimizer_options": {"lr": 1}}, r"train\.optimizer_options\.lr"),
        ({**SGD, "optimizer_options": {"nesterov": True}}, "does not take these"),
        ({"schedule": "StepLR"}, r"train\.schedule_options: torch's StepLR does not take these"),
        ({"schedule_options": {"gamma": 1}}, r"schedule_options\.gamma: the schedule one-cycle"),
        ({"average": 1.0}, r"train\.average.*above 0, below 1"),
    ],
)
def test_what_they_do_not_take_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changes)


def test_the_average_forgets_what_is_long_ago() -> None:
    weight = nn.Parameter(torch.zeros(2))
    average, expected = Average([weight], 0.3), 0.0
    for step, value in enumerate((1.0, 2.0, 5.0, 4.0, 3.0)):
        keeps = min(0.3, (1 + step) / (10 + step))
        expected = keeps * expected + (1 - keeps) * value
        with torch.no_grad():
            weight.fill_(value)
        average.add()
    assert weight.tolist() == [3.0, 3.0]
    average.put()
    assert weight.tolist() == pytest.approx([expected] * 2)


def test_a_training_that_stops_goes_on_with_its_optimizer_and_its_average(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int, fields: object) -> None:
        if done == 5:
            raise Stop

    def run(folder: str, progress: Any = None, **changes: Any) -> dict[str, torch.Tensor]:
        supernet = make()
        settings = config(epochs=1, frozen_epochs=0, schedule="CosineAnnealingLR", **SGD, **changes)
        train(supernet, load(), settings, folder=tmp_path / folder, progress=progress)
        return supernet.state_dict()

    whole = run("whole", average=0.9)
    with pytest.raises(Stop):
        run("stopped", stop, average=0.9)
    stopped, restored = run("stopped", average=0.9), make()
    restore(restored, tmp_path / "stopped")
    last = run("last")
    for name, tensor in whole.items():
        assert torch.equal(tensor, stopped[name]), name
        assert torch.equal(tensor, restored.state_dict()[name]), name
    assert not torch.equal(whole["stem.weight"], last["stem.weight"])


def test_the_average_begins_anew_where_scales_are_shared(tmp_path: Path) -> None:
    found = []
    for folder, average in (("last", None), ("average", 1e-9)):  # which keeps nothing
        supernet = make()
        settings = config(
            epochs=2, frozen_epochs=1, batch_size=256, scale_images=64, average=average
        )
        train(supernet, load(), settings, folder=tmp_path / folder)
        found.append(supernet.state_dict())
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name])
