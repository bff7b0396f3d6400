"""Several labels at once: each is there or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.batch import Tensors
from tipsc.quality import Quality
from tipsc.tasks.judged import Judged, lacks, require, told, torchmetrics


@dataclass(frozen=True)
class MultiLabel(Judged):
    """Targets (N, labels) bool, outputs (N, labels) logits.

    Attributes:
        labels: their names.
    """

    labels: tuple[str, ...]

    name = "multi-label classification"
    measure = "F1"
    sized_by = "classes"

    def metric(self) -> Any:
        """The mean over the labels of the harmonic mean of precision and recall."""
        metrics = torchmetrics(".classification")
        if len(self.labels) == 1:  # the other one asks for two
            return metrics.BinaryF1Score()
        return metrics.MultilabelF1Score(num_labels=len(self.labels))

    def shown(self, outputs: Any, targets: Tensors) -> tuple[Any, ...]:
        return outputs.sigmoid(), targets.int()

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        wanted = targets.to(outputs.dtype) * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs, wanted)

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(student, teacher.detach().sigmoid())

    def agree(self, outputs: Any, original: Any) -> float:
        return float(((outputs > 0) == (original > 0)).double().mean())

    def chance(self, targets: Tensors) -> Quality:
        """All labels, always."""
        share = targets.double().mean(0)
        return self.quality(float((2 * share / (1 + share)).mean()))

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        require(
            isinstance(targets, Tensor)
            and targets.dtype == torch.bool
            and targets.shape == (examples, len(self.labels)),
            "targets do not fit the labels",
            where=where,
            expected=f"bool of shape ({examples}, {len(self.labels)})",
            got=told(targets),
            fix="say of each label whether it is there: targets.bool()",
        )

    def lacking(self, parts: Mapping[str, Tensors]) -> list[str]:
        there = {
            part: targets.any(0).nonzero().flatten().tolist() for part, targets in parts.items()
        }
        return lacks(self.labels, there, "labels have no {part} example")

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        require(
            isinstance(outputs, Tensor)
            and outputs.dim() == 2
            and outputs.shape[1] == len(self.labels),
            "the model's outputs are not one for each label",
            where=where,
            expected=f"one output of shape (N, {len(self.labels)})",
            got=told(outputs),
            fix=fix,
        )
