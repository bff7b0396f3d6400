"""How far outputs are from those of another model, whatever they are: trees of tensors.

Each output counts the same, however large its values: a difference is measured against how much the
other model's output varies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.batch import flat

_LEAST = 1e-6  # of a variance: an output that never changes


def distance(student: Any, teacher: Any) -> Tensor:
    """The mean over the outputs of a Huber loss of differences in the teacher's deviations.

    Args:
        teacher: gets no gradient. Outputs that are no floating point numbers are left out.
    """
    pairs = zip(flat(student, "the output"), flat(teacher, "the output"), strict=True)
    losses = []
    for got, wanted in pairs:
        if got.is_floating_point():
            wanted = wanted.detach()
            scale = wanted.std(correction=0).clamp_min(_LEAST)
            losses.append(F.huber_loss(got / scale, wanted / scale))
    return torch.stack(losses).mean()


@dataclass
class Fidelity:
    """The share of the original's variance that outputs reproduce: R², at least 0, the mean over
    the outputs. Fed batch by batch.
    """

    _apart: list[Tensor] = field(default_factory=list)
    _sums: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)

    def add(self, outputs: Any, original: Any) -> None:
        """A batch; outputs that are no floating point numbers count as numbers, too."""
        pairs = zip(flat(outputs, "the output"), flat(original, "the output"), strict=True)
        for place, (got, wanted) in enumerate(pairs):
            got, wanted = got.double(), wanted.double()
            sums = (wanted.numel(), wanted.sum(), wanted.square().sum())
            apart = (got - wanted).square().sum()
            if place == len(self._apart):
                self._apart.append(apart)
                self._sums.append(sums)
            else:
                count, total, squares = self._sums[place]
                self._apart[place] = self._apart[place] + apart
                self._sums[place] = (count + sums[0], total + sums[1], squares + sums[2])

    @property
    def value(self) -> float:
        """Of all batches; NaN if an output is."""
        found = []
        for apart, (count, total, squares) in zip(self._apart, self._sums, strict=True):
            varies = squares - total.square() / count
            share = 1.0 - apart / varies.clamp_min(_LEAST * count)
            found.append(share.clamp_min(0.0))  # NaN stays NaN
        return float(torch.stack(found).mean())


def fidelity(outputs: Any, original: Any) -> float:
    """Of one batch."""
    tally = Fidelity()
    tally.add(outputs, original)
    return tally.value
