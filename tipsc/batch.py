"""Examples side by side: a tree of inputs and a tree of targets, from wherever they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from tipsc.errors import DataError
from tipsc.tree import fields_of, tree_of

Tensors: TypeAlias = Any
"""A tensor (N, ...), or a tuple, list, dict, dataclass or named tuple of such; the first axis of
each are the examples."""


class Batch(NamedTuple):
    """What a step sees.

    Attributes:
        inputs: as the model takes them: a tuple of its arguments, a dict of its keyword arguments,
            or the only one.
        targets: what its task judges by.
    """

    inputs: Tensors
    targets: Tensors

    @property
    def examples(self) -> int:
        """How many there are."""
        return count(self.inputs)

    def on(self, device: torch.device) -> Batch:
        """On the device; images with channels last."""
        return Batch(placed(self.inputs, device), placed(self.targets, device))


class Examples(Protocol):
    """Where batches come from: in memory (:class:`tipsc.train.Split`), from a Dataset of torch
    (:class:`tipsc.train.OnDisk`), or from anywhere else."""

    def __len__(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """Of the content: what is made of other examples has another one."""

    def take(self, index: Sequence[int]) -> Batch:
        """These examples, in this order."""


@runtime_checkable
class Readable(Protocol):
    """Examples that can be read ahead have this as well."""

    def read(self, order: Sequence[Sequence[int]], *chance: object) -> Iterator[Batch]:
        """A batch of each entry's examples.

        Args:
            chance: what all that is random in an example depends on, beside its number.
        """


def read(examples: Examples, order: Sequence[Sequence[int]], *chance: object) -> Iterator[Batch]:
    """A batch of each entry's examples; see :class:`Readable`."""
    if isinstance(examples, Readable):
        return examples.read(order, *chance)
    return (examples.take(index) for index in order)


def first(examples: Examples, most: int | None = None) -> Batch:
    """The first examples, all if there are fewer."""
    return examples.take(range(len(examples))[:most])


def cycled(examples: Examples, size: int) -> Batch:
    """So many examples, from the first on; over and over if there are fewer."""
    return examples.take([place % len(examples) for place in range(size)])


def in_order(examples: Examples, size: int, most: int | None = None) -> Iterator[Batch]:
    """The first `most` examples in batches, of which the last may be smaller."""
    index = range(len(examples))[:most]
    return read(examples, [index[i : i + size] for i in range(0, len(index), size)])


def flat(value: Tensors, where: str = "inputs") -> tuple[Tensor, ...]:
    """The tensors, in the order of their tree; what a path takes, one after the other."""
    if isinstance(value, Tensor):
        return (value,)
    return tuple(tree_of(value, where).flat(value, where))


def count(value: Tensors) -> int:
    """How many examples these are."""
    return len(flat(value)[0])


def arrays(value: Tensors) -> tuple[np.ndarray, ...]:
    """The tensors as an engine takes them."""
    return tuple(tensor.numpy() for tensor in flat(value))


def mapped(
    function: Callable[[Any], Tensor], value: Tensors, leaves: tuple[type, ...] = (Tensor,)
) -> Tensors:
    """The same tree, of what the function makes of each tensor.

    Args:
        leaves: what stands for a tensor.
    """

    def of(part: Any) -> Any:
        return mapped(function, part, leaves)

    if value is None:
        return None
    if isinstance(value, leaves):
        return function(value)
    fields = fields_of(value)
    if fields is not None:
        return type(value)(**{name: of(getattr(value, name)) for name in fields})
    if isinstance(value, Mapping):
        return {key: of(part) for key, part in value.items()}
    return type(value)(of(part) for part in value)


def rows(value: Tensors, index: Any) -> Tensors:
    """Some of the examples: `index` is a slice, or numbers of them."""
    return mapped(lambda tensor: tensor[index], value)


def joined(batches: Iterable[Tensors]) -> Tensors:
    """Batches, one behind the other; of one form."""
    parts = list(batches)
    tree = tree_of(parts[0], "inputs")
    tensors = zip(*(tree.flat(part, "inputs") for part in parts), strict=True)
    return built(parts[0], [torch.cat(same) for same in tensors])


def split(value: Tensors, size: int) -> Iterator[Tensors]:
    """In batches of that many examples, of which the last may be smaller."""
    for start in range(0, count(value), size):
        yield rows(value, slice(start, start + size))


def placed(value: Tensors, device: torch.device) -> Tensors:
    """On the device; images with channels last, with which a CPU trains up to twice as fast."""
    return mapped(lambda tensor: _placed(tensor, device), value)


def ask(model: nn.Module, inputs: Tensors) -> Any:
    """What a plain model gives for inputs: see :class:`Batch` for how it takes them."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, tuple | list):
        return model(*inputs)
    return model(inputs)


def check_same_form(value: Tensors, like: Tensors, where: str) -> None:
    """Refuses a tree of another form; a dict in another order is one too.

    Raises:
        DataError: says where.
    """
    wanted, found = tree_of(like, where), tree_of(value, where)
    if wanted != found:
        wanted.flat(value, where)  # says where it differs
        raise DataError(
            "has another form, or another order",
            where=where,
            expected=", ".join(wanted.names("tensor")),
            got=", ".join(found.names("tensor")),
        )


def built(like: Tensors, tensors: Sequence[Tensor]) -> Tensors:
    """The same tree, of other tensors."""
    left = iter(tensors)
    return mapped(lambda _: next(left), like)


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    tensor = tensor.to(device, non_blocking=device.type == "cuda")  # where memory is pinned
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
