"""Data is checked when it is made, and its batches cover it."""

from __future__ import annotations

import pytest
import torch

from tipsc.errors import DataError
from tipsc.tasks import Classification
from tipsc.train import Data, Shuffled, Split

X, Y = torch.randn(10, 2, 3), torch.arange(10) % 4
TASK = Classification(("a", "b", "c", "d"))


def with_nan() -> torch.Tensor:
    bad = X.clone()
    bad[6, 1, 1] = float("nan")
    return bad


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (X[0, 0], Y[:3], r"expected \(N, \*shape\)"),
        (X[:0], Y[:0], "at least one example"),
        (X, Y[:9], r"not equally many.*got \(9,\)"),
        (X.double(), Y, r"got float64\); convert them"),
        (X.short(), Y, r"got int16\); convert them"),
        (with_nan(), Y, "example 6: 1 of 10 examples hold NaN"),
    ],
)
def test_bad_splits_are_refused(inputs: torch.Tensor, targets: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Split(inputs, targets)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (Y, r"test, example 3: .*expected 0 to 2, for 3 classes, got 0 to 3"),
        (Y - 1, "test, example 0: a target is negative"),
        (Y.float(), r"test: .*expected int64 of shape \(10,\).*got float32"),
        (Y[:, None], r"test: .*got int64 of shape \(10, 1\)"),
    ],
)
def test_targets_that_the_task_cannot_judge_are_refused(
    targets: torch.Tensor, message: str
) -> None:
    good = Split(X[:3], Y[:3])
    with pytest.raises(DataError, match=message):
        Data(good, good, Split(X, targets), Classification(("a", "b", "c")))


def test_data_without_a_task_are_refused() -> None:
    with pytest.raises(DataError, match=r"no task.*Classification.*got tuple"):
        Data(*[Split(X, Y)] * 3, task=(1, 2))  # type: ignore[arg-type]


def test_names_of_classes_stand_for_a_classification() -> None:
    data = Data(*[Split(X, Y)] * 3, task=("a", "b", "c", "d"))  # type: ignore[arg-type]
    assert data.task == Classification(("a", "b", "c", "d"))


def test_splits_of_different_shapes_are_refused() -> None:
    good = Split(X, Y)
    with pytest.raises(DataError, match=r"validation: .*got \(2, 2\)"):
        Data(good, Split(X[..., :2], Y), good, TASK)


@pytest.mark.parametrize(("ranks", "parts"), [(2, [5, 5]), (3, [3, 3, 4])])
def test_ranks_share_each_batch_of_one_process(ranks: int, parts: list[int]) -> None:
    split = Split(torch.arange(103.0).reshape(-1, 1), torch.zeros(103, dtype=torch.int64))

    def seen(rank: int, ranks: int) -> list[list[float]]:
        batches = Shuffled(split, 10, seed=1, rank=rank, ranks=ranks).epoch(2, 1)
        return [batch.inputs.flatten().tolist() for batch in batches]

    shares = list(zip(*(seen(rank, ranks) for rank in range(ranks)), strict=True))
    assert [[x for part in share for x in part] for share in shares] == seen(0, 1)
    assert [list(map(len, share)) for share in shares] == [parts] * 9


def test_epochs_differ_and_repeat_and_resume() -> None:
    split = Split(torch.arange(50.0).reshape(-1, 1), torch.zeros(50, dtype=torch.int64))

    def noise(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return x + torch.rand(x.shape, generator=generator)

    def epoch(number: int, first: int = 0) -> list[list[float]]:
        batches = Shuffled(split, 10, seed=1, augment=noise).epoch(number, first)
        return [x.flatten().tolist() for x, _ in batches]

    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
    assert epoch(0, 3) == epoch(0)[3:]


def test_too_few_examples_for_a_step_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"expected at least 12 examples, got 10 examples\); lower train.batch_size"
    ):
        Shuffled(Split(X, Y), 12, ranks=3)
    with pytest.raises(DataError, match=r"fewer examples than there are processes.*3, got 2"):
        Shuffled(Split(X, Y), 2, ranks=3)


def test_calibration_takes_a_fixed_mixture_of_the_classes() -> None:
    by_class = Split(torch.arange(100.0).reshape(-1, 1), torch.arange(100) // 25)
    data = Data(by_class, by_class, by_class, TASK)
    taken = torch.cat(data.calibration(40, 16)).flatten()
    assert [len(part) for part in data.calibration(40, 16)] == [16, 16, 8]
    assert len(set(taken.tolist())) == 40
    assert {int(value) // 25 for value in taken.tolist()} == {0, 1, 2, 3}
    assert torch.cat(data.calibration(40, 16)).flatten().tolist() == taken.tolist()


def test_fingerprint_is_of_the_content() -> None:
    assert Split(X, Y).fingerprint == Split(X.clone(), Y.clone()).fingerprint
    changed = X.clone()
    changed[3, 0, 0] += 1
    assert Split(changed, Y).fingerprint != Split(X, Y).fingerprint
    assert Split(X, (Y + 1) % 4).fingerprint != Split(X, Y).fingerprint
