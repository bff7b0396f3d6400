"""What the operators of a graph are computed with: tensors, and numbers that are known beforehand.

Sizes are numbers as well, and under torch.export the batch is a symbol. So arithmetic on what
``Shape`` gives is done on arrays of Python objects, and never on tensors: a model whose reshapes
follow the batch stays one for any batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Value: TypeAlias = Any
"""A Tensor, an array of known numbers, or None for an input that is left out."""


class NotReadable(Exception):
    """An operator, or one of its forms, has no counterpart here; the message says which."""


@dataclass(frozen=True)
class Node:
    """One operator of a graph.

    Attributes:
        operator: its type.
        name: of the node; of its first output if it has none.
        inputs, outputs: names of values, "" for those that are left out.
        attributes: numbers, texts, lists and arrays.
        version: of the operator set.
        one_example: whether the file is made for batches of one.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    version: int
    one_example: bool = False

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


def is_known(value: Value) -> bool:
    return isinstance(value, np.ndarray)


def tensor(value: Value) -> Tensor:
    """A value as a tensor."""
    if isinstance(value, Tensor):
        return value
    if value is None:
        raise NotReadable("an input is left out")
    if value.dtype == object:
        if not all(isinstance(item, int) for item in value.reshape(-1)):
            raise NotReadable("the size of a batch is computed with like a value")
        value = value.astype(np.int64)
    return torch.from_numpy(np.array(value))


def numbers(value: Value, what: str) -> list[Any]:
    """A value as a list of numbers, some of which may be sizes."""
    if not is_known(value):
        raise NotReadable(f"{what} follows the values in a tensor")
    found: list[Any] = value.reshape(-1).tolist()
    return found


def number(value: Value, what: str) -> Any:
    (found,) = numbers(value, what)
    return found


def axes_of(node: Node, value: Value, default: list[int] | None = None) -> list[int] | None:
    """Axes, which older operator sets have as an attribute and newer ones as an input."""
    if value is not None:
        return numbers(value, "axes")
    found = node.get("axes", default)
    return None if found is None else list(found)


def sizes(x: Tensor) -> np.ndarray:
    """The shape of a tensor as known numbers."""
    found = np.empty(x.dim(), dtype=object)
    found[:] = list(x.shape)
    return found
