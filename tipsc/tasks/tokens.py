"""Language modelling: which token comes next, at every place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.batch import Tensors
from tipsc.quality import Better, Quality
from tipsc.tasks.judged import Judged, require, told, torchmetrics


@dataclass(frozen=True)
class NextToken(Judged):
    """Targets (N, T) int64 are the tokens that are to be said, outputs (N, T, vocabulary) logits.

    The targets are shifted already: the model's output at a place is held against the target there.

    Attributes:
        ignore: the number of places that are neither learned nor judged.
    """

    ignore: int = -100

    name = "language modelling"
    measure = "perplexity"
    unit = ""
    better: Better = "lower"
    sized_by = "classes"

    def metric(self) -> Any:
        return torchmetrics(".text").Perplexity(ignore_index=self.ignore)

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(
            outputs.flatten(0, 1),
            targets.flatten(),
            ignore_index=self.ignore,
            label_smoothing=smoothing,
        )

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        return F.cross_entropy(student.flatten(0, 1), teacher.detach().softmax(-1).flatten(0, 1))

    def agree(self, outputs: Any, original: Any) -> float:
        return float((outputs.argmax(-1) == original.argmax(-1)).double().mean())

    def chance(self, targets: Tensors) -> Quality:
        """How often each token is said, whatever stands before."""
        known = targets[targets != self.ignore]
        share = known.bincount().double() / len(known)
        share = share[share > 0]
        return self.quality(math.exp(float(-(share * share.log()).sum())))

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        require(
            isinstance(targets, Tensor) and targets.dtype == torch.int64 and targets.dim() == 2,
            "targets are no tokens",
            where=where,
            expected=f"int64 of shape ({examples}, T)",
            got=told(targets),
        )
        require(
            bool((targets != self.ignore).any()),
            "there is no token to be said",
            where=where,
            expected="some that is not ignored",
            got=f"{self.ignore} everywhere",
        )

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        require(
            isinstance(outputs, Tensor) and outputs.dim() == 3,
            "the model does not give the scores of all tokens at every place",
            where=where,
            expected="one output of shape (N, T, vocabulary)",
            got=told(outputs),
            fix=fix,
        )
