"""A class for every place: of an image, a series, or a volume."""

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
class Segmentation(Judged):
    """Targets (N, *places) int64 are class numbers from 0, outputs (N, classes, *places) logits.

    Attributes:
        classes: their names, in the order of their numbers.
        ignore: the number of places that are neither learned nor judged.
    """

    classes: tuple[str, ...]
    ignore: int = 255

    name = "segmentation"
    measure = "mIoU"
    sized_by = "classes"

    def metric(self) -> Any:
        """Intersection over union, the mean over the classes that are there."""
        return torchmetrics(".classification").MulticlassJaccardIndex(
            num_classes=len(self.classes), ignore_index=self.ignore
        )

    def shown(self, outputs: Any, targets: Tensors) -> tuple[Any, ...]:
        return outputs.argmax(1), targets

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(
            outputs, targets, ignore_index=self.ignore, label_smoothing=smoothing
        )

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        return F.cross_entropy(student, teacher.detach().softmax(1))

    def agree(self, outputs: Any, original: Any) -> float:
        return float((outputs.argmax(1) == original.argmax(1)).double().mean())

    def chance(self, targets: Tensors) -> Quality:
        """The commonest class, everywhere."""
        known = targets[targets != self.ignore]
        share = float(known.bincount().max()) / len(known)
        there = len(known.unique())
        return self.quality(share / there)

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        require(
            isinstance(targets, Tensor) and targets.dtype == torch.int64 and targets.dim() > 1,
            "targets are no classes of places",
            where=where,
            expected=f"int64 of shape ({examples}, *places)",
            got=told(targets),
            fix="give one class number for each place, as targets.long()",
        )
        wrong = ((targets < 0) | (targets >= len(self.classes))) & (targets != self.ignore)
        example = wrong.reshape(len(targets), -1).any(1).nonzero().flatten()
        require(
            not len(example),
            "a target has no class",
            where=f"{where}, example {int(example[0]) if len(example) else 0}",
            expected=f"0 to {len(self.classes) - 1}, or {self.ignore} for what is not judged",
            got=int(targets[wrong][0]) if len(example) else "",
            fix="name all classes; their numbers begin with 0",
        )
        require(
            bool((targets != self.ignore).any()),
            "no place of any example has a class",
            where=where,
            expected="some that is not ignored",
            got=f"{self.ignore} everywhere",
        )

    def lacking(self, parts: Mapping[str, Tensors]) -> list[str]:
        there = {part: targets.unique().tolist() for part, targets in parts.items()}
        return lacks(self.classes, there, "classes have no place in a {part} example")

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        require(
            isinstance(outputs, Tensor)
            and outputs.dim() > 2
            and outputs.shape[1] == len(self.classes),
            "the model does not give the scores of all classes for every place",
            where=where,
            expected=f"one output of shape (N, {len(self.classes)}, *places)",
            got=told(outputs),
            fix=fix,
        )
