"""The base class of all supernets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tipsc.paths import Path, SearchSpace
from tipsc.signature import TensorSpec


class Supernet(nn.Module):
    """An elastic model: one set of weights, many paths.

    A subclass builds elastic layers from the choices of `space` and gives
    ``forward(x, path)``. Its control flow may depend on the path but not on the values in `x`.

    Args:
        space: the choices.
        inputs: what it takes, in a batch of one: float32 for signals, int64 for tokens.
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
    def input_shape(self) -> tuple[int, ...]:
        """Of one example, without the batch axis."""
        return self.inputs[0].shape[1:]

    @property
    def input_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.inputs[0].dtype)
        return dtype

    @property
    def spanning(self) -> tuple[Path, ...]:
        """Paths that together take every operation in its largest size; the largest comes first."""
        return (self.space.largest,)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """The output for a batch `x` (N, *input_shape) on one path."""
        raise NotImplementedError

    def example(self, batch: int = 1, device: str | torch.device = "cpu") -> Tensor:
        """A batch of zeros of the right shape and type."""
        return torch.zeros((batch, *self.input_shape), dtype=self.input_dtype, device=device)
