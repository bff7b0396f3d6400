"""The base class of all supernets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tipsc.paths import Path, SearchSpace


class Supernet(nn.Module):
    """An elastic model: one set of weights, many paths.

    A subclass builds elastic layers from the choices of `space` and gives
    ``forward(x, path)``. Its control flow may depend on the path but not on the values in `x`.

    Args:
        space: the choices.
        input_shape: of one example, without the batch axis.
        input_dtype: float32 for signals, int64 for tokens.
    """

    def __init__(
        self,
        space: SearchSpace,
        input_shape: tuple[int, ...],
        input_dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.space = space
        self.input_shape = tuple(input_shape)
        self.input_dtype = input_dtype

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
