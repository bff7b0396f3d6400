"""Examples without labels, for a model that is trained already: its own answers are the targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tipsc.batch import (
    Batch,
    Examples,
    Tensors,
    ask,
    first,
    flat,
    in_order,
    mapped,
    placed,
    read,
    rows,
    split,
)
from tipsc.elastic.looking import looking
from tipsc.tasks import Classification, Task
from tipsc.train.data import SPLITS, Augment, Data, Split, check_inputs
from tipsc.train.on_disk import OnDisk

_BATCH = 64


@dataclass(frozen=True)
class Unlabelled:
    """Inputs alone, a tensor or a tree; all other words are those of :class:`tipsc.train.Data`.

    A Dataset, or other :class:`tipsc.batch.Examples`, gives pairs here too, whose targets are not
    looked at; the inputs stay on the disk, the answers to them are kept in memory.

    Only how often a path agrees with the original model is known from them. What is made of them
    says so everywhere.

    Attributes:
        task: of the original; a classification if it is None here and in the configuration. Names
            of classes that it lacks are those of the model's outputs.
    """

    train: Tensors | Examples
    validation: Tensors | Examples
    test: Tensors | Examples
    task: Task | None = None
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for name in SPLITS:
            given = getattr(self, name)
            if isinstance(given, Dataset):
                object.__setattr__(self, name, OnDisk(given))
            else:
                check_inputs(given.take([0]).inputs if _is_read(given) else given, name)

    @property
    def example(self) -> Tensors:
        """Inputs of the first example, with an axis for the examples."""
        return first(self.train, 1).inputs if _is_read(self.train) else rows(self.train, slice(1))

    def answered_by(self, model: nn.Module) -> Data:
        """With the model's answers as targets.

        Args:
            model: it is run in eval mode, on the device that it is on; the answers are on the CPU.

        Raises:
            DataError: the task cannot judge by its answers.
        """
        outputs = {name: _outputs(model, getattr(self, name)) for name in SPLITS}
        task, targets = (self.task or Classification()).answered(outputs)
        train, validation, test = (_answered(getattr(self, name), targets[name]) for name in SPLITS)
        return Data(train, validation, test, task, self.augment)


@dataclass(frozen=True, eq=False)
class WithAnswers:
    """Examples whose targets are answers in memory; see :class:`tipsc.batch.Readable`."""

    examples: Examples
    answers: Tensors

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.examples.fingerprint.encode())
        for tensor in flat(self.answers, "targets"):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def take(self, index: Sequence[int]) -> Batch:
        return Batch(self.examples.take(index).inputs, rows(self.answers, list(index)))

    def read(self, order: Sequence[Sequence[int]], *chance: object) -> Iterator[Batch]:
        for index, batch in zip(order, read(self.examples, order, *chance), strict=True):
            yield Batch(batch.inputs, rows(self.answers, list(index)))


def _answered(part: Tensors | Examples, answers: Tensors) -> Examples:
    return WithAnswers(part, answers) if _is_read(part) else Split(part, answers)


def _is_read(part: Tensors | Examples) -> bool:
    """Whether it is read example by example: a tensor has no fingerprint."""
    return hasattr(part, "fingerprint")


def _outputs(model: nn.Module, part: Tensors | Examples) -> list[object]:
    """Of each batch."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    batches = (
        (batch.inputs for batch in in_order(part, _BATCH))
        if _is_read(part)
        else split(part, _BATCH)
    )
    with looking(model), torch.inference_mode():
        return [mapped(Tensor.cpu, ask(model, placed(inputs, device))) for inputs in batches]
