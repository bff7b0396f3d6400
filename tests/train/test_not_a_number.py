"""A loss that is no number ends the training with a sentence; what was learned before is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from digits import config, load, make
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from tipsc.errors import TrainingError
from tipsc.tasks.own import own_task
from tipsc.train import Data, train
from tipsc.train.checkpoint import FILE


class Breaks:
    """Right for some losses, then none."""

    better = "higher"

    def __init__(self, good: int) -> None:
        self.left = good

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.left -= 1
        loss = cross_entropy(outputs, targets)
        return loss if self.left >= 0 else loss * torch.nan

    def metric(self) -> Any:
        return MulticlassAccuracy(num_classes=10)


def test_it_names_the_step_and_goes_on_from_the_one_before(tmp_path: Path) -> None:
    known = load()
    settings = config(epochs=1, frozen_epochs=0, paths_per_step=2, distill=False)

    def data(good: int) -> Data:
        task = own_task(Breaks(good), "task")
        return Data(known.train, known.validation, known.test, task, known.augment)

    supernet = make()
    with pytest.raises(TrainingError, match=r"step 4 of \d+, .*the loss is nan"):
        train(supernet, data(9), settings, folder=tmp_path)  # one to see that targets fit
    assert (tmp_path / FILE).is_file()
    again = train(make(), data(10**6), settings, folder=tmp_path)
    assert [record.step for record in again.steps] == list(range(len(again.steps)))
