"""How far outputs are from those of another model, whatever they are: trees of tensors.

Each output counts the same, however large its values and whatever its distance is: all are measured
against how much the other model's output varies, so that an answer which is always the same is as
far from it in each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.batch import flat
from tipsc.tree import tree_of

Distance = Literal["huber", "cosine", "kl", "kl-last"]

_LEAST = 1e-6  # of a variance: an output that never changes
_CONSTANT = 0.425  # what a Huber loss gives for the mean of normal numbers of deviation 1


def distance(student: Any, teacher: Any, distances: Mapping[str, Distance] | None = None) -> Tensor:
    """The mean over the outputs of how far they are from the teacher's.

    Args:
        teacher: gets no gradient. Outputs that are no floating point numbers are left out.
        distances: by the name of an output, as an engine's manifest has it: "huber" of differences
            in the teacher's deviations, for numbers; "cosine" of vectors on the last axis, for
            embeddings; "kl" of distributions whose logits are on axis 1, or "kl-last", on the last
            one. Those that are not named have "huber".
    """
    names = tree_of(teacher, "the output").names("output")
    given = zip(names, flat(student, "the output"), flat(teacher, "the output"), strict=True)
    losses = [
        _DISTANCES[(distances or {}).get(name, "huber")](got, wanted.detach())
        for name, got, wanted in given
        if got.is_floating_point()
    ]
    return torch.stack(losses).mean()


def _huber(got: Tensor, wanted: Tensor) -> Tensor:
    scale = wanted.std(correction=0).clamp_min(_LEAST)
    return F.huber_loss(got / scale, wanted / scale)


def _cosine(got: Tensor, wanted: Tensor) -> Tensor:
    always = wanted.flatten(0, -2).mean(0).expand_as(wanted)
    apart = (1 - F.cosine_similarity(got, wanted, -1)).mean()
    varies = (1 - F.cosine_similarity(always, wanted, -1)).mean()
    return _CONSTANT * apart / varies.clamp_min(_LEAST)


def _divergence(got: Tensor, wanted: Tensor, axis: int) -> Tensor:
    """Of distributions, against that of their mean."""
    log, known = got.movedim(axis, -1).log_softmax(-1), wanted.movedim(axis, -1).log_softmax(-1)
    shares = known.exp()
    always = shares.flatten(0, -2).mean(0).clamp_min(_LEAST).log()
    apart = (shares * (known - log)).sum(-1).mean()
    return _CONSTANT * apart / (shares * (known - always)).sum(-1).mean().clamp_min(_LEAST)


_DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "huber": _huber,
    "cosine": _cosine,
    "kl": partial(_divergence, axis=1),
    "kl-last": partial(_divergence, axis=-1),
}


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
