"""A rehearsal takes a few steps on a copy, and says what limits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tipsc.pipeline.context import Project
from tipsc.pipeline.rehearse import rehearse

DATA = """
import time
import torch
from torch.utils.data import Dataset
from tipsc.tasks import Classification
from tipsc.train import Data, OnDisk


class Slow(Dataset):
    def __init__(self, seconds):
        self.seconds = seconds

    def __len__(self):
        return 64

    def __getitem__(self, number):
        time.sleep(self.seconds)
        return torch.full((1, 8, 8), number / 64), number % 2


def load(seconds):
    slow, fast = OnDisk(Slow(seconds), workers=0), OnDisk(Slow(0), workers=0)
    return Data(slow, fast, fast, Classification(("even", "odd")))
"""
MODEL = {  # large enough to take longer than data that need no time, on a loaded machine too
    "classes": 2, "input_shape": [1, 8, 8], "stem": 32, "stem_stride": 1, "head": 16,
    "stages": [{"channels": 32, "depths": [3, 4], "expansions": [4, 6]}],
}  # fmt: skip


def project(folder: Path, seconds: float) -> Project:
    (folder / "data.py").write_text(DATA)
    train: dict[str, Any] = {"epochs": 30, "batch_size": 16, "sampler": "uniform", "threads": 1}
    document = {
        "name": "slow",
        "model": {"family": "mobilenet", "arguments": MODEL},
        "data": {"callable": "data.py:load", "arguments": {"seconds": seconds}},
        "train": train,
    }
    (folder / "tipsc.yaml").write_text(yaml.safe_dump(document))
    return Project(folder)


@pytest.mark.parametrize(("seconds", "bound"), [(0.0, "device"), (0.05, "data")])
def test_it_says_how_long_all_takes_and_what_limits_it(
    seconds: float, bound: str, tmp_path: Path
) -> None:
    made = project(tmp_path, seconds)
    before = {name: value.clone() for name, value in made.untrained.state_dict().items()}
    calls: list[tuple[int, int]] = []
    lesson = made.config.training
    found = rehearse(
        made, [lesson, lesson], 6, lambda done, total, note="": calls.append((done, total))
    )
    assert calls == [(done, 6) for done in range(1, 7)]
    assert found.bound == bound
    assert found.steps == 2 * 30 * 4 and found.seconds == pytest.approx(240 * found.seconds_a_step)
    assert found.data_seconds >= 16 * seconds and found.seconds_a_step > found.data_seconds
    assert found.host_seconds > 0
    assert all(
        torch.equal(value, before[name]) for name, value in made.untrained.state_dict().items()
    )
    assert not (tmp_path / "runs").exists()
