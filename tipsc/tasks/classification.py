"""One class of several: cross-entropy, and how often the largest output is the right one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.errors import DataError
from tipsc.quality import SHARE, Quality
from tipsc.tasks.judged import lacks, told
from tipsc.tasks.task import Task

ACCURACY, AGREEMENT = "accuracy", "agreement"
FEWEST_CLASSES = 2
FEWEST_TO_JUDGE = 8  # examples: fewer may all be of one class by chance


@dataclass(frozen=True)
class Classification:
    """Targets (N,) int64 are class numbers from 0, outputs (N, classes) are logits.

    Attributes:
        classes: their names, in the order of their numbers. Where the original model answers,
            they may be left out: they are numbers then.
        labelled: the targets are labels, and the quality is the accuracy; else they are the
            original's answers, and it is the agreement with it.
    """

    classes: tuple[str, ...] = ()
    labelled: bool = True

    name = "classification"
    scale_free = True
    sized_by = "classes"

    def __post_init__(self) -> None:
        if isinstance(self.classes, str) or not isinstance(self.classes, Sequence):
            raise DataError(
                "classes are the names of the classes, in the order of their numbers",
                where="classes",
                expected="a tuple of text, as ('cat', 'dog')",
                got=type(self.classes).__name__,
                fix="if they have no names: tuple(map(str, range(10)))",
            )

    @property
    def measure(self) -> str:
        return ACCURACY if self.labelled else AGREEMENT

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        try:
            return F.cross_entropy(outputs, targets, label_smoothing=smoothing)
        except IndexError as error:  # of data on disk not every target was looked at before
            raise _no_class(targets, outputs.shape[-1], "a batch") from error

    def imitate(self, student: Tensor, teacher: Tensor) -> Tensor:
        return F.cross_entropy(student, teacher.detach().softmax(-1))

    def score(self) -> RightAnswers:
        return RightAnswers(self)

    def agree(self, outputs: Tensor, original: Tensor) -> float:
        return float((outputs.argmax(-1) == original.argmax(-1)).double().mean())

    def quality(self, value: float) -> Quality:
        return Quality(self.measure, value, SHARE)

    def chance(self, targets: Tensor) -> Quality:
        commonest = float(targets.bincount().max()) / len(targets)
        return self.quality(commonest)

    def check(self, targets: Tensor, examples: int, where: str) -> None:
        if targets.dtype != torch.int64 or targets.shape != (examples,):
            raise DataError(
                "targets do not fit the inputs",
                where=where,
                expected=f"int64 of shape ({examples},)",
                got=f"{str(targets.dtype).removeprefix('torch.')} of shape {tuple(targets.shape)}",
                fix="give one class number for each example, as targets.long()",
            )
        if int(targets.min()) < 0:
            raise DataError(
                "a target is negative",
                where=f"{where}, example {int(targets.argmin())}",
                expected="class numbers from 0",
                got=int(targets.min()),
                fix="number the classes from 0, and leave out examples without one",
            )
        if int(targets.max()) >= len(self.classes):
            raise _no_class(targets, len(self.classes), where)

    def lacking(self, parts: Mapping[str, Tensor]) -> list[str]:
        if not self.labelled:
            return []
        there = {part: targets.unique().tolist() for part, targets in parts.items()}
        return lacks(self.classes, there, "classes have no {part} example")

    def check_outputs(self, outputs: object, where: str = "", fix: str = "") -> None:
        if not isinstance(outputs, Tensor) or outputs.dim() != 2:
            raise DataError(
                "the model is no classifier",
                where=where,
                expected="one output of shape (N, classes)",
                got=told(outputs),
                fix="give the data the task that the model has, or let it give the classes' scores",
            )
        if outputs.shape[-1] != len(self.classes):
            raise DataError(
                "the model has another number of outputs than the data have classes",
                where=where,
                expected=f"{len(self.classes)} outputs, as the data have classes",
                got=f"{outputs.shape[-1]} outputs",
                fix=f"correct the data's classes or {fix}" if fix else "",
            )

    def answered(
        self, outputs: Mapping[str, Sequence[object]]
    ) -> tuple[Task, Mapping[str, Tensor]]:
        answers = {name: _answers(batches, f"data.{name}") for name, batches in outputs.items()}
        count = next(iter(answers.values())).shape[1]
        if self.classes and len(self.classes) != count:
            raise DataError(
                "the classes are not as many as the model's outputs",
                where="data.classes",
                expected=count,
                got=len(self.classes),
                fix="name all of them, or none",
            )
        classes = self.classes or tuple(map(str, range(count)))
        targets = {name: found.argmax(-1) for name, found in answers.items()}
        return Classification(classes, labelled=False), targets


@dataclass
class RightAnswers:
    """Counts the examples whose largest output is the target's."""

    task: Classification
    right: int = 0
    seen: int = 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        if int(targets.max()) >= outputs.shape[-1]:  # it would count as answered wrongly
            raise _no_class(targets, outputs.shape[-1], "a batch")
        self.right += int((outputs.argmax(-1) == targets).sum())
        self.seen += len(targets)

    @property
    def quality(self) -> Quality:
        return self.task.quality(self.right / self.seen)


def _no_class(targets: Tensor, classes: int, where: str) -> DataError:
    """What is wrong with targets of which one is too large."""
    low, high = int(targets.min()), int(targets.max())
    from_one = low == 1 and high == classes
    return DataError(
        "the class numbers begin with 1" if from_one else "a target has no class",
        where=f"{where}, example {int(targets.argmax())}",
        expected=f"0 to {classes - 1}, for {classes} classes",
        got=f"{low} to {high}",
        fix="subtract 1: targets - 1"
        if from_one
        else f"name all {high + 1} classes in the order of their numbers, or correct the targets",
    )


def _answers(batches: Sequence[object], where: str) -> Tensor:
    """(N, classes) outputs of the original that tell classes apart."""
    first = batches[0]
    if not isinstance(first, Tensor) or first.dim() != 2 or first.shape[1] < FEWEST_CLASSES:
        raise DataError(
            "the original model is no classifier: its answers cannot stand in for labels",
            where=where,
            expected=f"outputs of shape (N, classes), with at least {FEWEST_CLASSES} classes",
            got=told(first),
            fix="tipsc builds classifiers; a model that gives anything else cannot be judged yet",
        )
    answers = torch.cat([batch for batch in batches if isinstance(batch, Tensor)]).clone().cpu()
    if not bool(torch.isfinite(answers).all()):
        raise DataError(
            "the original model answers with NaN or infinity",
            where=f"{where}, example {int((~torch.isfinite(answers)).any(1).nonzero()[0])}",
            fix="see that its weights are loaded, and that inputs are those it was trained with",
        )
    chosen = answers.argmax(-1)
    if len(answers) >= FEWEST_TO_JUDGE and bool((chosen == chosen[0]).all()):
        raise DataError(
            "the original model gives all examples the same class: any path would agree with it",
            where=where,
            expected="answers of at least two classes",
            got=f"class {int(chosen[0])} for all {len(answers)} examples",
            fix="give examples of several classes; a model whose outputs are no classes (a "
            "regression) cannot be judged yet",
        )
    return answers
