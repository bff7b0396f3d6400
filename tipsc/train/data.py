"""What is learned from, checked when it is made, and the batches of an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tipsc.batch import (
    Batch,
    Examples,
    Tensors,
    check_same_form,
    count,
    flat,
    in_order,
    joined,
    read,
    rows,
)
from tipsc.errors import DataError
from tipsc.tasks import Classification, Task
from tipsc.train.chance import torch_generator
from tipsc.train.on_disk import OnDisk
from tipsc.tree import tree_of

LOOKED_AT = 2048
"""Examples whose targets are checked before training, where they are not in memory."""
KEPT_BYTES = 2**28
"""Of calibration's inputs that are not read again for each path, where they are not in memory."""
SPLITS = ("train", "validation", "test")
Augment: TypeAlias = Callable[[Tensors, torch.Generator], Tensors]
"""From inputs of a batch to changed ones of the same shapes; all chance from the generator."""

_DTYPES = (torch.float32, torch.int64, torch.int32, torch.uint8, torch.bool)


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in memory.

    Attributes:
        inputs: (N, *shape), or a tree of such tensors, as the model takes them.
        targets: (N, ...), or a tree of such tensors, as the task of the data has them.
    """

    inputs: Tensors
    targets: Tensors

    def __post_init__(self) -> None:
        check_inputs(self.inputs, "inputs")
        examples = len(self)
        for name, tensor in named(self.targets, "targets"):
            if tensor.shape[:1] != (examples,):
                raise DataError(
                    f"inputs and {name} are not equally many",
                    expected=f"{name} of shape ({examples}, ...)",
                    got=tuple(tensor.shape),
                    fix="give a target for each example",
                )

    def __len__(self) -> int:
        return count(self.inputs)

    def take(self, index: Sequence[int]) -> Batch:
        at = slice(index.start, index.stop, index.step) if isinstance(index, range) else index
        return Batch(rows(self.inputs, at), rows(self.targets, at))

    def batches(self, size: int) -> Iterator[Batch]:
        """All examples in order; the last batch may be smaller."""
        return in_order(self, size)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        parts = [*named(self.inputs, "inputs"), *named(self.targets, "targets")]
        digest = hashlib.sha256()
        for name, tensor in parts:
            digest.update(str((name, tuple(tensor.shape), tensor.dtype)).encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Data:
    """What a supernet learns from and is judged by.

    Attributes:
        train: for the weights and for calibration.
        validation: for choosing paths.
        test: for the figures that are reported; nothing is chosen by it. Each of the three is a
            :class:`Split`, a :class:`OnDisk` or the map-style Dataset of torch that it is made of,
            or has what :class:`tipsc.batch.Examples` asks for.
        task: what the targets mean, and what is good; see :mod:`tipsc.tasks`. The names of classes
            stand for a classification into them. None: the configuration says it.
        augment: changes the inputs of each training batch, or None.
    """

    train: Examples
    validation: Examples
    test: Examples
    task: Task | None = None
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for name in SPLITS:
            if isinstance(getattr(self, name), Dataset):
                object.__setattr__(self, name, OnDisk(getattr(self, name)))
            if not callable(getattr(getattr(self, name), "take", None)):
                raise DataError(
                    "this part of the data is no Split",
                    where=name,
                    expected="a tipsc.train.Split(inputs, targets), or a Dataset of torch",
                    got=type(getattr(self, name)).__name__,
                    fix="train, validation and test are all needed: hold some examples back",
                )
        if _are_names(self.task):  # of classes: what most models are for needs no more words
            object.__setattr__(self, "task", Classification(tuple(self.task)))  # type: ignore[arg-type]
        if self.task is not None and not callable(getattr(self.task, "loss", None)):
            raise DataError(
                "this is no task",
                where="task",
                expected="a task of tipsc.tasks, as Classification(('cat', 'dog'))",
                got=type(self.task).__name__,
            )
        like = self.train.take(range(1))
        for name in SPLITS:
            part: Examples = getattr(self, name)
            example = part.take(range(1))
            check_same_form(example.inputs, like.inputs, f"{name}: inputs")
            check_same_form(example.targets, like.targets, f"{name}: targets")
            if not isinstance(part, Split):
                check_inputs(example.inputs, f"{name}: inputs")
            _check_alike(example.inputs, like.inputs, name)
            if self.task is not None:
                targets = targets_of(part)
                seen = count(targets)
                where = name if seen == len(part) else f"{name}, {seen} of {len(part)} examples"
                self.task.check(targets, seen, where)

    @property
    def judged_by(self) -> Task:
        """The task.

        Raises:
            DataError: there is none.
        """
        if self.task is None:
            raise DataError(
                "nothing says what the targets of the data mean",
                where="task",
                expected="a task of tipsc.tasks, in the data or in the configuration",
                fix="give one, as Data(..., task=Classification(('cat', 'dog'))), or task: NAME",
            )
        return self.task

    def calibration(self, examples: int = 1024, batch_size: int = 128) -> Iterable[Tensors]:
        """Inputs for batch-norm calibration: a fixed random part of train, not augmented. They may
        be gone through any number of times."""
        order = torch.randperm(len(self.train), generator=torch_generator("calibration"))
        parts = [part.tolist() for part in order[:examples].split(batch_size)]
        if isinstance(self.train, Split):
            return [self.train.take(part).inputs for part in parts]
        return _Again(self.train, parts)


class _Again:
    """Inputs that are read anew each time; few of them are kept after the first."""

    def __init__(self, examples: Examples, parts: Sequence[Sequence[int]]) -> None:
        self._examples, self._parts = examples, parts
        self._kept: list[Tensors] = []

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Tensors]:
        if self._kept:
            yield from self._kept
            return
        kept, size = [], 0
        for batch in read(self._examples, self._parts):
            size += sum(tensor.nbytes for tensor in flat(batch.inputs))
            if size <= KEPT_BYTES:
                kept.append(batch.inputs)
            yield batch.inputs
        if size <= KEPT_BYTES:
            self._kept = kept


def targets_of(examples: Examples) -> Tensors:
    """Of all examples in memory; else of some, read batch by batch: the first :data:`LOOKED_AT`, or
    of a Dataset as many as :mod:`tipsc.train.on_disk` says."""
    if isinstance(examples, Split):
        return examples.targets
    if isinstance(examples, OnDisk):
        return examples.seen_targets
    return joined(batch.targets for batch in in_order(examples, 64, LOOKED_AT))


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
    """Batches of examples, in a new order each epoch; each rank has its own part of each batch.

    The order does not depend on the number of ranks, by which a part may have one example less.

    Args:
        batch_size: of all ranks together; examples that do not fill a batch are left out of an
            epoch.
    """

    split: Examples
    batch_size: int
    seed: int = 0
    augment: Augment | None = None
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.batch_size < self.ranks:
            raise DataError(
                "a step has fewer examples than there are processes",
                where="train.batch_size",
                expected=f"at least {self.ranks}",
                got=self.batch_size,
                fix="give more, or start fewer processes",
            )
        if not self.steps_per_epoch:
            raise DataError(
                "there are fewer training examples than one step needs",
                where="train.batch_size",
                expected=f"at least {self.batch_size} examples",
                got=f"{len(self.split)} examples",
                fix="lower train.batch_size, or give more examples",
            )

    @property
    def steps_per_epoch(self) -> int:
        return len(self.split) // self.batch_size

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        order = torch.randperm(
            len(self.split), generator=torch_generator("order", self.seed, number)
        )
        begin, end = (self.batch_size * r // self.ranks for r in (self.rank, self.rank + 1))
        starts = [step * self.batch_size for step in range(first, self.steps_per_epoch)]
        indices = [order[start + begin : start + end].tolist() for start in starts]
        for step, batch in enumerate(read(self.split, indices, self.seed, number), first):
            if self.augment is None:
                yield batch
                continue
            chance = torch_generator("augment", self.seed, number, step, self.rank)
            yield batch._replace(inputs=self.augment(batch.inputs, chance))


def named(value: Tensors, name: str) -> list[tuple[str, Tensor]]:
    """The tensors of a tree, each with what leads to it.

    Raises:
        DataError: there is what is no tensor.
    """
    if not isinstance(value, tuple | list | dict):
        _check_tensor(value, name)
    tree = tree_of(value, name)
    found = list(zip(tree.names(name), tree.flat(value, name), strict=True))
    for place, tensor in found:
        _check_tensor(tensor, place)
    return found


def check_inputs(inputs: Tensors, name: str) -> None:
    """Refuses inputs that no model takes.

    Raises:
        DataError: no tensors; without an axis for the examples, or without an example; of a type
            that supernets do not take; not finite.
    """
    found = named(inputs, name)
    for place, tensor in found:
        if not tensor.dim() or not len(tensor) or (len(found) == 1 and tensor.dim() < 2):
            raise DataError(
                f"{place} need a first axis for the examples, and at least one example",
                expected="(N, *shape)",
                got=tuple(tensor.shape),
            )
        if len(tensor) != len(found[0][1]):
            raise DataError(
                "the inputs are not equally many",
                where=place,
                expected=f"{len(found[0][1])} examples, as of {found[0][0]}",
                got=len(tensor),
                fix="give one tensor (N, ...) for each input of the model; bring images of several "
                "sizes to one first",
            )
        if tensor.dtype not in _DTYPES:
            raise DataError(
                f"{place} have a type that supernets do not take",
                expected="float32 (signals), uint8 (pixels), int64 or int32 (tokens), bool (masks)",
                got=_name(tensor.dtype),
                fix="convert them: inputs.float(), images usually (x / 255 - mean) / std",
            )
        if tensor.is_floating_point():
            bad = (~torch.isfinite(tensor)).reshape(len(tensor), -1).any(1).nonzero().flatten()
            if len(bad):
                raise DataError(
                    f"{len(bad)} of {len(tensor)} examples hold NaN or infinity",
                    where=f"example {int(bad[0])}" if len(found) == 1 else f"{place}, {bad[0]}",
                    fix="drop or repair them",
                )


def _check_tensor(value: object, name: str) -> None:
    if not isinstance(value, Tensor):
        raise DataError(
            f"{name} are no tensor",
            expected="a torch.Tensor, or a tuple, list or dict of them",
            got=f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}",
            fix=f"use torch.as_tensor({name})",
        )


def _check_alike(inputs: Tensors, like: Tensors, part: str) -> None:
    pairs = zip(named(inputs, "inputs"), flat(like), strict=True)
    for (name, tensor), other in pairs:
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            raise DataError(
                "the splits differ in shape or type",
                where=part if name == "inputs" else f"{part}: {name}",
                expected=f"{tuple(other.shape[1:])} {_name(other.dtype)}, as in train",
                got=f"{tuple(tensor.shape[1:])} {_name(tensor.dtype)}",
            )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _are_names(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(name, str) for name in value)
