"""The base class of all supernets."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tipsc.elastic.looking import looking
from tipsc.paths import Path, SearchSpace
from tipsc.signature import Signature, TensorSpec
from tipsc.tree import tree_of


class Supernet(nn.Module):
    """An elastic model: one set of weights, many paths.

    A subclass builds elastic layers from the choices of `space` and gives
    ``forward(x, path)``, with as many tensors before the path as there are inputs. Its control
    flow may depend on the path but not on the values in `x`.

    Args:
        space: the choices.
        inputs: what it takes, in a batch of one: float32 for signals, int64 for tokens. The first
            axis of the first one is the batch.
    """

    def __init__(
        self,
        space: SearchSpace,
        inputs: Sequence[TensorSpec],
    ) -> None:
        super().__init__()
        self.space = space
        self.inputs = tuple(inputs)

    @property
    def spanning(self) -> tuple[Path, ...]:
        """Paths that together take every operation in its largest size; the largest comes first."""
        return (self.space.largest,)

    @property
    def signature(self) -> Signature:
        """What it takes and gives, in a batch of one."""
        with looking(self):
            gives = self(*self.examples(), self.space.smallest)
        tree = tree_of(gives, "the output")
        tensors = zip(tree.names("output"), tree.flat(gives, "the output"), strict=True)
        outputs = [
            TensorSpec(
                name, str(t.dtype).removeprefix("torch."), tuple(t.shape), "N" + "-" * (t.dim() - 1)
            )
            for name, t in tensors
        ]
        takes = Signature.plain(self.inputs, outputs).takes
        return Signature(self.inputs, tuple(outputs), takes, tree)

    def forward(self, *given: Any) -> Any:
        """The output for a batch on one path: the inputs, one after the other, and the path."""
        raise NotImplementedError

    def examples(
        self, batch: int | None = None, device: str | torch.device | None = None
    ) -> tuple[Tensor, ...]:
        """Zeros for each input.

        Args:
            batch: how many examples; as many as the inputs say if not given.
            device: by default that of the weights.
        """
        if device is None:
            device = next((p.device for p in self.parameters()), torch.device("cpu"))
        given = self if batch is None else in_batches(self, batch)
        return tuple(
            torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device=device)
            for spec in given.inputs
        )


def in_batches(supernet: Supernet, count: int) -> Supernet:
    """The same supernet, with the same weights, as it takes so many examples at once."""
    sized = copy.copy(supernet)
    sized.inputs = tuple(spec.with_batch(count) for spec in supernet.inputs)
    return sized
