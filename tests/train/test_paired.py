"""Two models on the same examples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tipsc.tasks import Classification, Quality
from tipsc.train import Split
from tipsc.train.paired import BLOCKS, Appraisal, Gain, judge


class Says(nn.Module):
    """Names the class that is the input, but for the first `wrong` of a thousand examples."""

    def __init__(self, wrong: int) -> None:
        super().__init__()
        self.wrong = nn.Parameter(torch.tensor(float(wrong)))

    def forward(self, x: Tensor) -> Tensor:
        right = (x[:, 1] >= self.wrong).float()
        named = torch.stack([1 - x[:, 0], x[:, 0]], 1)
        return torch.where(right[:, None] > 0, named, 1 - named)


def examples() -> Split:
    labels = torch.arange(1000) % 2
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(2))
    return Split(torch.stack([labels.float(), order.float()], 1), labels)


def judged(wrong: int) -> Appraisal:
    return judge(Says(wrong), examples(), Classification(("no", "yes")))


def test_it_counts_what_is_right() -> None:
    found = judged(100)
    assert found.quality == Quality("accuracy", 0.9, "share")
    assert len(found.merits) == BLOCKS
    assert sum(found.merits) / BLOCKS == pytest.approx(0.9)


def test_the_error_is_of_the_difference_and_not_of_both() -> None:
    gain = judged(100).over(judged(120))
    assert gain.amount == pytest.approx(0.02)
    # 20 of 1000 differ: sqrt(0.02 * 0.98 / 1000) = 0.0044, where each alone has 0.0095 and more
    assert 0.003 < gain.error < 0.006
    assert judged(100).over(judged(100)) == Gain(0.0, 0.0)


def test_a_gain_within_its_error_is_none() -> None:
    assert Gain(0.004, 0.002).exceeds(0.003)
    assert not Gain(0.004, 0.005).exceeds(0.003)
    assert not Gain(0.002, 0.001).exceeds(0.003)
    assert not Gain(0.0, 0.0).exceeds(0.0)


def test_few_examples_tell_nothing() -> None:
    one = Appraisal(Quality("accuracy", 1.0, "share"), (1.0,))
    none = Appraisal(Quality("accuracy", 0.0, "share"), (0.0,))
    assert not one.over(none).exceeds(0.0)
