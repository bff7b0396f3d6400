"""Two models on the same examples: which is better, and whether the examples can tell."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import torch
from torch import nn

from tipsc.batch import Examples, read
from tipsc.quality import Quality
from tipsc.tasks import Task
from tipsc.train.evaluate import outputs_of

#: in which a split is cut: the spread of their differences says how sure the whole one is
BLOCKS = 25
#: of a block, if there are so many: fewer can tell no quality
FEWEST = 20
_MOST = 256  # examples at once


@dataclass(frozen=True)
class Gain:
    """By how much one is better than the other.

    Attributes:
        amount: in the unit of the quality; negative where it is worse.
        error: the standard error of that, from the differences on blocks of the same examples.
    """

    amount: float
    error: float

    def exceeds(self, limit: float) -> bool:
        """Whether it is more than `limit`, and more than chance alone makes of nothing."""
        return self.amount > max(limit, self.error)


@dataclass(frozen=True)
class Appraisal:
    """A model on a split.

    Attributes:
        quality: over all examples.
        merits: on blocks of them, in order.
    """

    quality: Quality
    merits: tuple[float, ...]

    def over(self, other: Appraisal) -> Gain:
        """What it gains over another on the same split."""
        gaps = [mine - its for mine, its in zip(self.merits, other.merits, strict=True)]
        error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.inf
        return Gain(self.quality.above(other.quality), error)


def judge(module: nn.Module, examples: Examples, task: Task) -> Appraisal:
    """The quality of a module in eval mode, over all examples and on blocks of them."""
    device = next(module.parameters()).device
    whole = task.score()
    size = math.ceil(len(examples) / max(1, min(BLOCKS, len(examples) // FEWEST)))
    blocks = [range(len(examples))[i : i + size] for i in range(0, len(examples), size)]
    order = [block[i : i + _MOST] for block in blocks for i in range(0, len(block), _MOST)]
    tallies = [task.score() for _ in blocks]
    with torch.inference_mode():
        for index, batch in zip(order, read(examples, order), strict=True):
            there = batch.on(device)
            outputs = outputs_of(module, there.inputs)
            for tally in (whole, tallies[index.start // size]):
                tally.add(outputs, there.targets)
    return Appraisal(whole.quality, tuple(tally.quality.merit for tally in tallies))
