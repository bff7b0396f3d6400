"""Datasets of torch: the same training as from memory, read by other processes, and what goes wrong
while reading."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from digits import add_noise, config, load, make
from torch.utils.data import Dataset, IterableDataset, Subset, get_worker_info

from tipsc.batch import Batch
from tipsc.errors import DataError
from tipsc.pipeline.doubts import doubts
from tipsc.tasks import Classification
from tipsc.train import Data, OnDisk, Shuffled, Split, data, evaluate, on_disk, train

NAMES = ("train", "validation", "test")


class Held(Dataset[Any]):
    """A split as a Dataset; counts how often it was read in this process."""

    def __init__(self, split: Split) -> None:
        self.split, self.reads = split, 0

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, number: int) -> Any:
        self.reads += 1
        x, y = self.split.take([number])
        return x[0].numpy(), int(y[0])


class Made(Dataset[Any]):
    """Ten examples, changed by a function of number and example."""

    def __init__(self, change: Callable[[int, Any], Any] = lambda number, example: example) -> None:
        self.change, self.count = change, 10

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        return self.change(number, (torch.full((2, 3), float(number)), number % 4))


def few(examples: int = 192) -> list[Split]:
    whole = load()
    return [Split(*getattr(whole, name).take(range(n)))
            for name, n in zip(NAMES, (examples, 60, 60), strict=True)]  # fmt: skip


def batches(examples: OnDisk, *chance: object) -> list[list[float]]:
    order = [[3, 1], [2], [9, 0]]
    return [batch.inputs.flatten().tolist() for batch in examples.read(order, *chance)]


@pytest.mark.parametrize("workers", [0, 2])
def test_training_and_judging_give_the_same_bits_as_from_memory(
    workers: int, tmp_path: Path
) -> None:
    splits, classes = few(), Classification(tuple("0123456789"))
    held = [OnDisk(Held(split), workers=workers) for split in splits]
    weights, qualities = [], []
    for place, given in enumerate((splits, held)):
        found, supernet = Data(*given, classes, add_noise), make()
        settings = config(epochs=2, batch_size=32, scale_images=64, checkpoint_seconds=60.0)
        train(supernet, found, settings, folder=tmp_path / str(place))
        weights.append(supernet.state_dict())
        paths = (supernet.space.largest, supernet.space.smallest)
        qualities.append(evaluate(supernet, paths, found, images=64))
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    assert qualities[0] == qualities[1]


def noisy(number: int, example: Any) -> Any:
    x, y = example
    return torch.as_tensor(x) + torch.rand(()) + random.random() + np.random.rand(), y


class Noisy(Held):
    def __getitem__(self, number: int) -> Any:
        return noisy(number, super().__getitem__(number))


def test_a_training_that_stops_within_an_epoch_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    splits = few()

    class Stop(Exception):
        pass

    def stopped(done: int, total: int, fields: object) -> None:
        if done == 4:
            raise Stop

    def run(folder: str, workers: int, progress: Any = None) -> dict[str, torch.Tensor]:
        found = Data(OnDisk(Noisy(splits[0]), workers=workers), *splits[1:],
                     Classification(tuple("0123456789")))  # fmt: skip
        supernet = make()
        settings = config(epochs=2, frozen_epochs=0, batch_size=32)
        train(supernet, found, settings, folder=tmp_path / folder, progress=progress)
        return supernet.state_dict()

    whole = run("whole", 2)
    with pytest.raises(Stop):
        run("stopped", 1, stopped)
    for name, tensor in run("stopped", 0).items():
        assert torch.equal(tensor, whole[name]), name


def test_chance_is_of_the_epoch_and_the_example_whoever_reads() -> None:
    alone, three = OnDisk(Made(noisy), workers=0), OnDisk(Made(noisy), workers=3)
    assert batches(alone, 1, 0) == batches(three, 1, 0)
    assert batches(alone, 1, 0) != batches(alone, 1, 1)
    assert batches(alone) == batches(alone)


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_leaves_the_chance_of_the_training_alone(workers: int) -> None:
    examples = OnDisk(Made(noisy), workers=workers)

    def drawn() -> tuple[float, float, float]:
        return float(torch.rand(())), random.random(), float(np.random.rand())

    def seeded() -> None:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)

    seeded()
    expected = drawn()
    seeded()
    batches(examples)
    assert drawn() == expected


def test_batches_come_in_the_order_of_memory_from_any_step_on() -> None:
    x, y = torch.arange(50.0).reshape(-1, 1), torch.zeros(50, dtype=torch.int64)
    held, split = OnDisk(Held(Split(x, y)), workers=2), Split(x, y)
    for first in (0, 3):
        expected = [b.inputs for b in Shuffled(split, 10, seed=1).epoch(2, first)]
        found = [b.inputs for b in Shuffled(held, 10, seed=1).epoch(2, first)]
        assert torch.equal(torch.cat(found), torch.cat(expected))


def test_a_dataset_is_wrapped_and_trees_and_numbers_are_stacked() -> None:
    def tree(number: int, example: Any) -> Any:
        x, y = example
        return {"a": x, "b": np.int64(number)}, (y, np.zeros(2, np.float32))

    found = Data(*[Made(tree)] * 3).train  # type: ignore[list-item]
    batch = found.take([7, 2])
    assert isinstance(found, OnDisk) and list(batch.inputs) == ["a", "b"]
    assert batch.inputs["b"].tolist() == [7, 2] and batch.targets[0].tolist() == [3, 2]
    assert batch.targets[0].dtype == torch.int64 and batch.targets[1].shape == (2, 2)


def test_batches_may_be_asked_for_and_made_by_the_user() -> None:
    class Whole(Made):
        def __getitems__(self, numbers: list[int]) -> list[Any]:
            return [self[number] for number in reversed(numbers)]

    def collate(items: list[Any]) -> Any:
        return torch.stack([x + 0.5 for x, _ in items]), torch.tensor([y for _, y in items])

    batch = OnDisk(Whole(), collate).take([1, 2])
    assert batch.inputs[:, 0, 0].tolist() == [2.5, 1.5] and batch.targets.tolist() == [2, 1]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Callable[[str], OnDisk]]:
    def of(folder: str, version: str | None = None, value: float = 1.0) -> OnDisk:
        (tmp_path / folder).mkdir(exist_ok=True)
        made = Made(lambda number, example: (example[0] * value, example[1]))
        made.files = [tmp_path / folder / f"{i}.bin" for i in range(10)]  # type: ignore[attr-defined]
        for file in made.files:  # type: ignore[attr-defined]
            file.write_bytes(b"x")
        return OnDisk(made, version=version)

    yield of


def test_identity_is_of_contents_names_and_sizes_or_of_the_version(
    files: Any, tmp_path: Path
) -> None:
    same = files("a").fingerprint
    assert files("b").fingerprint == same, "another folder"
    assert files("a", value=2.0).fingerprint != same
    longer = files("a")
    (tmp_path / "a" / "7.bin").write_bytes(b"xx")
    assert longer.fingerprint != same
    assert files("a", "1").fingerprint == files("a", "1", 2.0).fingerprint
    assert files("a", "1").fingerprint != files("a", "2").fingerprint
    part = OnDisk(Subset(files("a").dataset, [1, 2]))
    other = OnDisk(Subset(files("a").dataset, [1, 2]))
    assert part.fingerprint == other.fingerprint != same
    (tmp_path / "a" / "2.bin").unlink()
    with pytest.raises(DataError, match=r"2\.bin: a file of the Dataset cannot be read"):
        OnDisk(other.dataset).fingerprint  # noqa: B018


def test_calibration_is_read_again_where_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = few()
    held = Held(splits[0])
    found = Data(OnDisk(held, workers=0), *splits[1:], Classification(tuple("0123456789")))
    expected = list(Data(*splits, found.task).calibration(64, 16))
    for most, reads in ((2**20, 64), (64 * 64 * 4 - 1, 128)):
        monkeypatch.setattr(data, "KEPT_BYTES", most)
        inputs, held.reads = found.calibration(64, 16), 0
        for _ in range(2):
            assert all(map(torch.equal, inputs, expected))
        assert held.reads == reads


def test_classes_are_not_missed_in_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    split = Split(torch.randn(200, 2, 3), torch.arange(200) // 2)
    task = Classification(tuple(map(str, range(100))))

    def missed() -> list[str]:
        held = OnDisk(Held(split), workers=0)
        return doubts(Data(held, held, held, task), None)

    assert not missed()
    monkeypatch.setattr(on_disk, "LOOKED_AT", 50)
    assert not missed()
    low = Split(split.inputs, split.targets % 50)
    assert len(doubts(Data(low, low, low, task), None)) == 3


def killed(number: int, example: Any) -> Any:
    if number == 9 and get_worker_info() is not None:
        os.kill(os.getpid(), 9)
    return example


def hanging(number: int, example: Any) -> Any:
    if number == 9:
        time.sleep(20)
    return example


def failing(number: int, example: Any) -> Any:
    if number == 9:
        raise OSError("no such picture")
    return example


def larger(number: int, example: Any) -> Any:
    return (torch.zeros(2, 4), 1) if number == 9 else example


def as_words(number: int, example: Any) -> Any:
    return (example[0], "cat") if number == 9 else example


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (failing, r"example 9: the Dataset fails: OSError: no such picture; correct Made, or"),
        (larger, r"differ in shape or type \(expected float32 \(2, 4\), got float32 \(2, 3\)\)"),
        (as_words, r"examples 9 to 0: targets: is no tensor"),
    ],
)
def test_a_bad_example_is_named(change: Any, message: str, workers: int) -> None:
    with pytest.raises(DataError, match=message):
        batches(OnDisk(Made(change), workers=workers))


def test_a_size_that_differs_from_the_first_example_is_found_in_any_batch() -> None:
    examples = OnDisk(Made(larger), workers=0)
    with pytest.raises(DataError, match=r"example 9: .*expected float32 \(2, 3\), int64"):
        examples.take([9])


def test_a_process_that_dies_or_hangs_ends_the_reading() -> None:
    with pytest.raises(DataError, match=r"Made: a process that reads examples has died.*workers=1"):
        batches(OnDisk(Made(killed), workers=2))
    with pytest.raises(DataError, match="no example was read for 1 s"):
        batches(OnDisk(Made(hanging), workers=2, patience_s=1.0))


def test_a_dataset_that_shrinks_is_refused() -> None:
    made = Made()
    examples = OnDisk(made, workers=0)
    made.count = 8
    with pytest.raises(DataError, match=r"another length than before \(expected 10, got 8\)"):
        batches(examples)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield torch.zeros(3), 0


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Endless(), "one order only"),
        (Subset(Made(), []), "this Dataset is empty"),
        (Made(lambda number, example: example[0][0]), "no pair of inputs and targets"),
        (Made(lambda number, example: (str(number), 1)), "no tensor"),
        (
            Made(lambda number, example: (example[0] + random.SystemRandom().random(), 1)),
            "another one each time",
        ),
    ],
)
def test_what_is_no_set_of_examples_is_refused(dataset: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        OnDisk(dataset)


def test_collate_keeps_the_examples() -> None:
    def half(items: list[Any]) -> Batch:
        batch = on_disk.stacked(items)
        return Batch(batch.inputs[:1], batch.targets[:1])

    with pytest.raises(
        DataError, match=r"examples 3 to 1: .*another number.*expected 2, got \[1\]"
    ):
        batches(OnDisk(Made(), half, workers=0))
