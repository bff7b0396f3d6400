"""Examples of a map-style Dataset of torch: they stay on the disk until a batch needs them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from tipsc.batch import Batch, Tensors, built, flat, joined, mapped
from tipsc.errors import DataError
from tipsc.train.chance import seed_of
from tipsc.tree import tree_of

SAMPLED = 64
"""Examples whose content is part of the identity, spread evenly over all."""
LOOKED_AT = 512
"""Examples whose targets are checked before training, spread evenly over all."""
_MOST_WORKERS = 8
_BATCH = 32  # of what is looked at
_GLANCE_S = 5.0  # in which a dead process is noticed
_NUMBERS = (Tensor, np.ndarray, np.generic, int, float)

Collate: TypeAlias = Callable[[list[Any]], Any]


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Examples of a map-style :class:`torch.utils.data.Dataset`.

    What is random in an example (``torch``, ``random`` and ``numpy.random`` without a generator of
    its own) depends on the training's seed, the epoch and the example's number alone, whatever
    process reads it.

    Attributes:
        dataset: has a length, and under each number an example: a pair of its inputs and its
            targets, each a tensor, array or number without an axis for the examples, or a tree of
            them. One with ``__getitems__`` is asked for the examples of a batch at once.
        collate: makes a pair of inputs and targets (N, ...) of a list of examples; None: they are
            stacked.
        version: says which content this is. None: a sample of the content says it, with names and
            sizes of the files that are listed in the dataset's ``samples`` or ``files``.
        workers: processes that read; None: one for each core of this process, 8 at most. 0: no
            other process, nor where the system cannot fork.
        patience_s: after so many seconds without a batch, reading has failed.

    Raises:
        DataError: it is no map-style Dataset, or empty, or its examples are no pairs of tensors.
    """

    dataset: Dataset[Any]
    collate: Collate | None = None
    version: str | None = None
    workers: int | None = None
    patience_s: float = 300.0

    def __post_init__(self) -> None:
        if isinstance(self.dataset, IterableDataset) or not hasattr(self.dataset, "__len__"):
            raise DataError(
                "this Dataset gives its examples in one order only",
                where=type(self.dataset).__name__,
                expected="a map-style Dataset: __len__, and __getitem__ for any number",
                fix="give it both; training needs a new order in each epoch",
            )
        if not self._count:
            raise DataError("this Dataset is empty", where=type(self.dataset).__name__)
        one, again = self.take([0]), self.take([0])
        if not all(map(_same, _tensors(one), _tensors(again))):
            raise DataError(
                "an example is another one each time that it is read",
                where="example 0",
                expected="no chance but that of torch, random and numpy.random, which are seeded",
                fix="draw from these, without a generator of the Dataset's own",
            )

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the version, or of a sample of contents and of all files' names and sizes."""
        digest = hashlib.sha256(str((len(self), self.version)).encode())
        if self.version is None:
            for name, size in _files(self.dataset):
                digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
            for batch in self.read(_spread(len(self), SAMPLED)):
                for tensor in _tensors(batch):
                    digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
                    digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    @cached_property
    def seen_targets(self) -> Tensors:
        """Of examples that are spread evenly over all, :data:`LOOKED_AT` at most."""
        return joined(batch.targets for batch in self.read(_spread(len(self), LOOKED_AT)))

    def take(self, index: Sequence[int]) -> Batch:
        """These examples, in this order."""
        parts = [index[i : i + _BATCH] for i in range(0, len(index), _BATCH)]
        found: Batch = joined(self.read(parts))
        return found

    def read(self, order: Sequence[Sequence[int]], *chance: object) -> Iterator[Batch]:
        """A batch of each entry's examples, which other processes read ahead.

        Args:
            chance: that examples depend on, beside their numbers.

        Raises:
            DataError: an example cannot be read, or has another form than the first one; there are
                fewer than there were; a process that reads dies or hangs.
        """
        reader = _Reader(self.dataset, self.collate or stacked, self._form, chance)
        workers = min(self._processes, len(order)) if len(order) > 1 else 0
        ahead = self._read_ahead(reader, order, workers) if workers else None
        with closing(ahead or (reader.get(index) for index in order)) as batches:
            for batch in batches:
                self._check_length()
                if isinstance(batch, DataError):
                    raise batch
                yield batch

    def _check_length(self) -> None:
        if len(self) != self._count:
            raise DataError(
                "the Dataset has another length than before",
                where=type(self.dataset).__name__,
                expected=self._count,
                got=len(self),
                fix="leave the files alone while they are in use; start again to use new ones",
            )

    @cached_property
    def _count(self) -> int:
        return len(self)

    @cached_property
    def _form(self) -> tuple[object, ...]:
        """Shape and type of each tensor of an example."""
        found = _Reader(self.dataset, self.collate or stacked, None, ()).get([0])
        if isinstance(found, DataError):
            raise found
        return form_of(found)

    @property
    def _processes(self) -> int:
        if "fork" not in multiprocessing.get_all_start_methods():
            return 0  # others import the user's files by their names, which they do not have there
        if self.workers is not None:
            return self.workers
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # of torchrun
        return min(_MOST_WORKERS, max(1, _cores() // beside))

    def _read_ahead(
        self, reader: _Reader, order: Sequence[Sequence[int]], workers: int
    ) -> Generator[Batch | DataError, None, None]:
        loader: DataLoader[Any] = DataLoader(
            reader,
            batch_size=None,
            sampler=order,
            num_workers=workers,
            collate_fn=_unchanged,
            timeout=min(_GLANCE_S, self.patience_s),
            multiprocessing_context="fork",
            generator=torch.Generator(),  # the default one is the training's
        )
        # Made on the main thread, it has a dead worker interrupt whatever runs there at that time.
        with ThreadPoolExecutor(1) as thread:
            batches: Any = thread.submit(iter, loader).result()
        try:
            for _ in order:
                yield self._next(batches)
        finally:
            batches._shutdown_workers()  # left to the garbage collection, it takes 5 s each

    def _next(self, batches: Iterator[Batch | DataError]) -> Batch | DataError:
        end = time.monotonic() + self.patience_s
        while True:
            try:
                return next(batches)
            except RuntimeError as error:
                hangs = "timed out" in str(error)
                if hangs and time.monotonic() < end:
                    continue
                if not hangs and "DataLoader worker" not in str(error):
                    raise
                raise self._lost(hangs, " ".join(str(error).split())) from error

    def _lost(self, hangs: bool, said: str) -> DataError:
        where = type(self.dataset).__name__
        if hangs:
            return DataError(
                f"no example was read for {self.patience_s:g} s",
                where=where,
                fix="see that the disk or the network answers, or give more patience_s",
            )
        return DataError(
            "a process that reads examples has died",
            where=where,
            got=said,
            fix="see that neither memory nor /dev/shm is full: OnDisk(..., workers=1) takes less, "
            "workers=0 shows where it fails; go on from the checkpoint",
        )


class _Reader(Dataset[Any]):
    """The Dataset by lists of numbers; a problem is an answer too, as it then comes through whole.

    Args:
        form: of each example; None: any.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        collate: Collate,
        form: tuple[object, ...] | None,
        chance: tuple[object, ...],
    ) -> None:
        self.dataset, self.collate, self.form, self.chance = dataset, collate, form, chance

    def __getitem__(self, index: Sequence[int]) -> Batch | DataError:
        at = f"examples {index[0]} to {index[-1]}"
        try:
            items = []
            if hasattr(self.dataset, "__getitems__"):
                _seed(seed_of("examples", *self.chance, *index))
                items = self.dataset.__getitems__(list(index))
            else:
                for number in index:
                    at = f"example {number}"
                    _seed(seed_of("example", *self.chance, number))
                    items.append(self.dataset[number])
                at = f"examples {index[0]} to {index[-1]}" if len(index) > 1 else at
            batch = _pair(self.collate(items), "what collate makes")
            self._check(batch, len(index))
            return batch
        except DataError as error:
            error.where = f"{at}: {error.where}" if error.where else at
            return error
        except Exception as error:
            return DataError(
                f"the Dataset fails: {type(error).__name__}: {error}",
                where=at,
                fix=f"correct {type(self.dataset).__name__}, or repair or drop the example",
            )

    def get(self, index: Sequence[int]) -> Batch | DataError:
        """In this process, whose chance goes on as it was."""
        with _chance_kept():
            return self[index]

    def _check(self, batch: Batch, examples: int) -> None:
        counts = {len(tensor) if tensor.dim() else 0 for tensor in _tensors(batch)}
        if counts != {examples}:
            raise DataError(
                "a batch has another number of examples than it was made of",
                expected=examples,
                got=sorted(counts),
                fix="let collate give each tensor a first axis for the examples",
            )
        if self.form is not None and form_of(batch) != self.form:
            raise DataError(
                "examples differ in shape or type",
                expected=", ".join(map(str, self.form)),
                got=", ".join(map(str, form_of(batch))),
                fix="bring all to one size and type in the Dataset",
            )


def stacked(items: list[Any]) -> Batch:
    """Examples side by side.

    Raises:
        DataError: one is no pair, or holds no tensors, or they differ in form.
    """
    pairs = [_pair(item, "an example") for item in items]
    return Batch(*map(_stacked, zip(*pairs, strict=True), ("inputs", "targets")))


def _stacked(parts: Sequence[Any], where: str) -> Tensors:
    trees = [mapped(torch.as_tensor, part, _NUMBERS) for part in parts]
    tree = tree_of(trees[0], where)
    columns = list(zip(*(tree.flat(part, where) for part in trees), strict=True))
    for place, column in zip(tree.names(where), columns, strict=True):
        for tensor in column:
            if not isinstance(tensor, Tensor):
                raise DataError("is no tensor, array or number", where=place, got=repr(tensor))
            if (tensor.shape, tensor.dtype) != (column[0].shape, column[0].dtype):
                raise DataError(
                    "examples differ in shape or type",
                    where=place,
                    expected=_told(column[0].shape, column[0].dtype),
                    got=_told(tensor.shape, tensor.dtype),
                    fix="bring all to one size and type in the Dataset",
                )
    return built(trees[0], [torch.stack(column) for column in columns])


def form_of(batch: Batch) -> tuple[str, ...]:
    """Shape and type of one example's tensors."""
    return tuple(_told(tensor.shape[1:], tensor.dtype) for tensor in _tensors(batch))


def _told(shape: torch.Size, dtype: torch.dtype) -> str:
    return f"{str(dtype).removeprefix('torch.')} {tuple(shape)}"


def _pair(value: Any, what: str) -> Batch:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise DataError(
            f"{what} is no pair of inputs and targets",
            got=f"a {type(value).__name__}"
            + (f" of {len(value)}" if isinstance(value, tuple | list) else ""),
            fix="give (inputs, targets)",
        )
    return Batch(*value)


def _tensors(batch: Batch) -> tuple[Tensor, ...]:
    return (*flat(batch.inputs), *flat(batch.targets, "targets"))


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))


def _spread(count: int, most: int) -> list[list[int]]:
    """Batches of numbers below `count`, evenly spread over them."""
    few = min(count, most)
    numbers = [place * count // few for place in range(few)]
    return [numbers[i : i + _BATCH] for i in range(0, few, _BATCH)]


def _files(dataset: Any) -> Iterator[tuple[str, int]]:
    """Names below their common folder, and sizes, of the files that a Dataset lists."""
    names = list(_listed(dataset))
    common = os.path.commonpath(names) if len(names) > 1 else ""
    for name in names:
        try:
            size = Path(name).stat().st_size
        except OSError as error:
            raise DataError(
                f"a file of the Dataset cannot be read: {error.strerror}", where=name
            ) from error
        yield os.path.relpath(name, common) if common else Path(name).name, size


def _listed(dataset: Any) -> Iterator[str]:
    if isinstance(dataset, Subset):
        listed = list(_listed(dataset.dataset))
        yield from (listed[i] for i in dataset.indices) if listed else ()
        return
    for entry in getattr(dataset, "samples", None) or getattr(dataset, "files", None) or ():
        name = entry[0] if isinstance(entry, tuple | list) and entry else entry
        if isinstance(name, str | os.PathLike):
            yield os.fspath(name)


def _seed(number: int) -> None:
    torch.default_generator.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)


@contextmanager
def _chance_kept() -> Iterator[None]:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _unchanged(value: Any) -> Any:
    return value
