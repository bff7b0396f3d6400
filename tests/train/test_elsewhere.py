"""Examples that are not in memory: read from files as they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from digits import load, make

from tipsc.batch import Batch
from tipsc.errors import DataError
from tipsc.train import Data, Split, TrainConfig, evaluate, train


class Files:
    """One file an example; counts the most that were read at once."""

    def __init__(self, folder: Path, split: Split) -> None:
        folder.mkdir()
        self.folder, self.count, self.most = folder, len(split), 0
        for i in range(len(split)):
            x, y = split.take([i])
            np.savez(folder / f"{i}.npz", x=x[0].numpy(), y=y[0].numpy())

    def __len__(self) -> int:
        return self.count

    @property
    def fingerprint(self) -> str:
        sizes = str([(f.name, f.stat().st_size) for f in sorted(self.folder.iterdir())])
        return hashlib.sha256(sizes.encode()).hexdigest()

    def take(self, index: Sequence[int]) -> Batch:
        self.most = max(self.most, len(index))
        found = [np.load(self.folder / f"{i}.npz") for i in index]
        return Batch(
            torch.from_numpy(np.stack([entry["x"] for entry in found])),
            torch.from_numpy(np.stack([entry["y"] for entry in found])),
        )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Data, Data]:
    folder, whole = tmp_path_factory.mktemp("digits"), load()
    few = [Split(*part.take(range(n))) for part, n in zip(
        (whole.train, whole.validation, whole.test), (192, 60, 60), strict=True
    )]  # fmt: skip
    names = ("train", "validation", "test")
    files = [Files(folder / name, part) for name, part in zip(names, few, strict=True)]
    return Data(*few, whole.task), Data(*files, whole.task)


def test_training_and_judging_by_files_gives_the_same_bits(
    both: tuple[Data, Data], tmp_path: Path
) -> None:
    weights, qualities = [], []
    for place, data in enumerate(both):
        torch.manual_seed(0)
        supernet = make()
        config = TrainConfig(epochs=2, frozen_epochs=1, batch_size=32, scale_images=64)
        train(supernet, data, config, folder=tmp_path / str(place))
        weights.append(supernet.state_dict())
        paths = (supernet.space.largest, supernet.space.smallest)
        qualities.append(evaluate(supernet, paths, data, images=64))
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    assert qualities[0] == qualities[1]


def test_never_more_than_a_batch_is_read_at_once(both: tuple[Data, Data]) -> None:
    files: Files = both[1].train  # type: ignore[assignment]
    files.most = 0
    data = Data(both[1].train, both[1].validation, both[1].test, both[1].task)
    data.calibration(64, 16)
    assert 16 <= files.most <= 64 < len(files)


def test_a_source_that_is_none_is_refused() -> None:
    split = load().train
    with pytest.raises(DataError, match=r"validation: this part of the data is no Split"):
        Data(split, [1, 2, 3], split, load().task)  # type: ignore[arg-type]
