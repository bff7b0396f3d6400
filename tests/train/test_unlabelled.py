"""Examples without labels: the original model's answers stand in, and teach."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from digits import config, load, make
from torch import nn
from torch.utils.data import Dataset

from tipsc.elastic import extract
from tipsc.errors import DataError
from tipsc.tasks import Classification
from tipsc.train import Data, OnDisk, Unlabelled, calibrate, evaluate, train


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """The largest path of a net that learned the digits, as a plain module."""
    supernet, data = make(), load()
    settings = config(epochs=5, frozen_epochs=0, paths_per_step=1, sampler="uniform", distill=False)
    train(supernet, data, settings, folder=tmp_path_factory.mktemp("original"))
    path = supernet.space.largest
    return extract(supernet, path, calibrate(supernet, path, data.calibration())).eval()


def without_labels(data: Data) -> Unlabelled:
    return Unlabelled(data.train.inputs, data.validation.inputs, data.test.inputs)


def test_the_original_answers(original: nn.Module) -> None:
    data = without_labels(load()).answered_by(original.train())
    assert original.training  # it is left as it was
    assert data.task.measure == "agreement"
    assert data.task == Classification(tuple("0123456789"), labelled=False)
    with torch.inference_mode():
        expected = original.eval()(data.test.inputs).argmax(-1)
    assert torch.equal(data.test.targets, expected)
    right = (data.test.targets == load().test.targets).float().mean()
    assert 0.5 < right < 1.0  # the answers are not the labels


def test_paths_learn_the_original_and_not_the_targets(original: nn.Module, tmp_path: Path) -> None:
    data = without_labels(load()).answered_by(original)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 10, data.train.targets.shape, generator=generator)
    misled = dataclasses.replace(data, train=dataclasses.replace(data.train, targets=noise))
    weights = {name: value.clone() for name, value in original.state_dict().items()}
    supernet = make()
    settings = config(epochs=5, frozen_epochs=0, paths_per_step=2, distill=False, teacher_share=1.0)
    train(supernet, misled, settings, folder=tmp_path, original=original)
    paths = [supernet.space.smallest, supernet.space.largest]
    found = evaluate(supernet, paths, data, split="test")
    assert (
        min(quality.value for quality in found.values()) > 0.4
    )  # the targets, which are noise, would teach 0.1
    assert all(torch.equal(value, weights[n]) for n, value in original.state_dict().items())


class Constant(nn.Module):
    """A regression: the largest of its outputs is always the same one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).mean(1, keepdim=True) + torch.tensor([0.0, 1.0, 50.0])


class Thirds(nn.Module):
    """Three scores, each of them the highest of some image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :63].unflatten(1, (3, 21)).mean(2)


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Broken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :3] / 0 * 0


@pytest.mark.parametrize(
    ("module", "classes", "message"),
    [
        (nn.Flatten(0), (), "no classifier.*cannot be judged yet"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), (), "no classifier.*at least 2 classes"),
        (Pair(), (), "no classifier.*got a tuple of 2"),
        (Constant(), (), "all examples the same class.*class 2 for all"),
        (Broken(), (), "example 0.*answers with NaN or infinity"),
        (Thirds(), ("a", "b"), "not as many.*expected 3"),
    ],
)
def test_what_cannot_answer_is_refused(
    module: nn.Module, classes: tuple[str, ...], message: str
) -> None:
    data = dataclasses.replace(without_labels(load()), task=Classification(classes))
    with pytest.raises(DataError, match=message):
        data.answered_by(module)


class Pairs(Dataset[Any]):
    """Inputs, each with a target that is none."""

    def __init__(self, inputs: torch.Tensor) -> None:
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, number: int) -> Any:
        return self.inputs[number], -1


@pytest.mark.parametrize("given", [Pairs, lambda inputs: OnDisk(Pairs(inputs), workers=0)])
def test_answers_to_examples_on_disk_are_those_in_memory(
    given: Callable[[torch.Tensor], Any], original: nn.Module, tmp_path: Path
) -> None:
    known = without_labels(load())
    few = [part[:80] for part in (known.train, known.validation, known.test)]
    found: list[tuple[dict[str, torch.Tensor], object]] = []
    for place, parts in enumerate((few, map(given, few))):
        unlabelled = Unlabelled(*parts)
        assert torch.equal(unlabelled.example, few[0][:1])
        data, supernet = unlabelled.answered_by(original), make()
        assert torch.equal(data.test.take([7, 3]).targets, data.test.take(range(8)).targets[[7, 3]])
        settings = config(epochs=1, frozen_epochs=0, batch_size=16, distill=False)
        train(supernet, data, settings, folder=tmp_path / str(place), original=original)
        judged = evaluate(supernet, [supernet.space.largest], data, split="test")
        found.append((supernet.state_dict(), judged))
    assert all(torch.equal(value, found[1][0][name]) for name, value in found[0][0].items())
    assert found[0][1] == found[1][1]


def test_other_answers_are_another_identity(original: nn.Module) -> None:
    part = OnDisk(Pairs(without_labels(load()).train[:70]), workers=0)
    unlabelled, other = Unlabelled(part, part, part), nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = [unlabelled.answered_by(model).train.fingerprint for model in (original, other)]
    assert len({*found, part.fingerprint}) == 3
