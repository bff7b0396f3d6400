"""What a model gives: a tree of tensors, whose records are made as the model makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tipsc.tree import Tree


@dataclass(frozen=True)
class OutputTree:
    """How the tensors that are computed become what the model gives.

    Attributes:
        tree: of the outputs.
        records: the classes of its records, those that are inside others before them.
    """

    tree: Tree
    records: tuple[Callable[..., Any], ...] = ()

    def build(self, tensors: Sequence[Any]) -> Any:
        """What the model gives, of these tensors."""
        classes = iter(self.records)
        return self.tree.build(tensors, lambda **fields: next(classes)(**fields))
