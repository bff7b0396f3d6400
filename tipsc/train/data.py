"""Labelled examples in memory, checked when they are made, and the batches of an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from tipsc.errors import DataError
from tipsc.tasks import Classification, Task
from tipsc.train.chance import torch_generator

Batch: TypeAlias = tuple[Tensor, Tensor]
Augment: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
"""From a batch of inputs to a changed batch of the same shape; all chance from the generator."""


@dataclass(frozen=True)
class Split:
    """Inputs (N, *shape) and targets (N, ...), as the task of the data has them."""

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        for name in ("inputs", "targets"):
            check_tensor(getattr(self, name), name)
        check_examples(self.inputs)
        if self.targets.shape[:1] != self.inputs.shape[:1]:
            raise DataError(
                "inputs and targets are not equally many",
                expected=f"targets of shape ({len(self.inputs)}, ...)",
                got=tuple(self.targets.shape),
                fix="give a target for each example",
            )
        if self.inputs.dtype not in (torch.float32, torch.int64):
            raise DataError(
                "inputs have a type that supernets do not take",
                expected="float32 (signals) or int64 (tokens)",
                got=_name(self.inputs.dtype),
                fix="convert them: inputs.float(), images usually (x / 255 - mean) / std",
            )
        if self.inputs.is_floating_point():
            bad = (~torch.isfinite(self.inputs)).flatten(1).any(1).nonzero().flatten()
            if len(bad):
                raise DataError(
                    f"{len(bad)} of {len(self.inputs)} examples hold NaN or infinity",
                    where=f"example {int(bad[0])}",
                    fix="drop or repair them",
                )

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, size: int) -> Iterator[Batch]:
        """All examples in order; the last batch may be smaller."""
        return zip(self.inputs.split(size), self.targets.split(size), strict=True)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256(str((tuple(self.inputs.shape), self.inputs.dtype)).encode())
        for tensor in (self.inputs, self.targets):
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Data:
    """What a supernet learns from and is judged by.

    Attributes:
        train: for the weights and for calibration.
        validation: for choosing paths.
        test: for the figures that are reported; nothing is chosen by it.
        task: what the targets mean, and what is good; see :mod:`tipsc.tasks`. The names of classes
            stand for a classification into them.
        augment: changes the inputs of each training batch, or None.
    """

    train: Split
    validation: Split
    test: Split
    task: Task
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            if not isinstance(getattr(self, name), Split):
                raise DataError(
                    "this part of the data is no Split",
                    where=name,
                    expected="a tipsc.train.Split(inputs, targets)",
                    got=type(getattr(self, name)).__name__,
                    fix="train, validation and test are all needed: hold some examples back",
                )
        if _are_names(self.task):  # of classes: what most models are for needs no more words
            object.__setattr__(self, "task", Classification(tuple(self.task)))  # type: ignore[arg-type]
        if not callable(getattr(self.task, "loss", None)):
            raise DataError(
                "the data have no task",
                where="task",
                expected="a task of tipsc.tasks, as Classification(('cat', 'dog'))",
                got=type(self.task).__name__,
            )
        shape, dtype = self.train.inputs.shape[1:], self.train.inputs.dtype
        for name in ("train", "validation", "test"):
            split: Split = getattr(self, name)
            if split.inputs.shape[1:] != shape or split.inputs.dtype != dtype:
                raise DataError(
                    "the splits differ in shape or type",
                    where=name,
                    expected=f"{tuple(shape)} {_name(dtype)}, as in train",
                    got=f"{tuple(split.inputs.shape[1:])} {_name(split.inputs.dtype)}",
                )
            self.task.check(split.targets, len(split), name)

    def calibration(self, images: int = 1024, batch_size: int = 128) -> list[Tensor]:
        """Inputs for batch-norm calibration: a fixed random part of train, not augmented."""
        order = torch.randperm(len(self.train), generator=torch_generator("calibration"))
        return list(self.train.inputs[order[:images]].split(batch_size))


class Batches(Protocol):
    """Where training batches come from, when they are not in memory.

    The batches of an epoch must depend on nothing but its number (and the process's rank), or
    training resumed from a checkpoint is not the same training.
    """

    @property
    def steps_per_epoch(self) -> int: ...

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number`, without the first `first` ones."""


@dataclass(frozen=True)
class Shuffled:
    """Batches of a split in memory, in a new order each epoch; each rank has its own part.

    Args:
        batch_size: of one rank; examples that do not fill a batch are left out of an epoch.
    """

    split: Split
    batch_size: int
    seed: int = 0
    augment: Augment | None = None
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not self.steps_per_epoch:
            raise DataError(
                "there are fewer training examples than one step needs",
                where="train.batch_size",
                expected=f"at least {self.batch_size * self.ranks} examples",
                got=f"{len(self.split)} examples",
                fix="lower train.batch_size, or give more examples",
            )

    @property
    def steps_per_epoch(self) -> int:
        return len(self.split) // (self.batch_size * self.ranks)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        order = torch.randperm(
            len(self.split), generator=torch_generator("order", self.seed, number)
        )
        for step in range(first, self.steps_per_epoch):
            start = (step * self.ranks + self.rank) * self.batch_size
            index = order[start : start + self.batch_size]
            inputs = self.split.inputs[index]
            if self.augment is not None:
                chance = torch_generator("augment", self.seed, number, step, self.rank)
                inputs = self.augment(inputs, chance)
            yield inputs, self.split.targets[index]


def check_tensor(value: object, name: str) -> None:
    """Refuses what is no tensor.

    Raises:
        DataError: with what makes a tensor of a NumPy array.
    """
    if not isinstance(value, Tensor):
        raise DataError(
            f"{name} are no tensor",
            expected="a torch.Tensor",
            got=f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}",
            fix=f"use torch.as_tensor({name})",
        )


def check_examples(inputs: Tensor) -> None:
    """Refuses inputs (N, *shape) without an axis for the examples, or without an example.

    Raises:
        DataError: with the shape.
    """
    if inputs.dim() < 2 or not len(inputs):
        raise DataError(
            "inputs need a first axis for the examples, and at least one example",
            expected="(N, *shape)",
            got=tuple(inputs.shape),
        )


def placed(inputs: Tensor, device: torch.device) -> Tensor:
    """On the device; images with channels last, with which a CPU trains up to twice as fast."""
    inputs = inputs.to(device)
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.dim() == 4 else inputs


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _are_names(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(name, str) for name in value)
