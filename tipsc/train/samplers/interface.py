"""What the training loop asks of a sampler.

Most samplers never change: they are a plain :class:`tipsc.dtmc.Sampler`, whose draw depends on the
generator alone. A sampler that learns from the training is :class:`Adaptive`. It may try paths on
the step's mini-batch before it chooses, is told what each path lost, and has a state, which goes
into the checkpoint so that a resumed training draws the very same paths.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from tipsc.dtmc.samplers import Sampler
from tipsc.paths import Path

Probe = Callable[[Path], float]
"""The loss of a path on the step's mini-batch against its labels: one forward pass."""

Losses = Sequence[tuple[Path, float]]
"""Paths with their losses on one mini-batch, against its labels, before the weights change."""


@runtime_checkable
class Adaptive(Protocol):
    """A sampler that learns while the supernet does."""

    def draw_with(self, generator: random.Random, count: int, probe: Probe) -> list[Path]:
        """`count` paths, repeats allowed.

        Args:
            probe: each call costs a forward pass, which the history counts.
        """

    def observe(self, step: int, losses: Losses) -> None:
        """Told after each step what ran, the added largest and smallest included.

        Also while another phase's sampler draws.
        """

    def state(self) -> Mapping[str, Tensor]:
        """Everything that a later draw depends on beside its arguments."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""


@dataclass(frozen=True)
class Constant:
    """A plain sampler behind the adaptive interface."""

    sampler: Sampler

    def draw_with(self, generator: random.Random, count: int, probe: Probe) -> list[Path]:
        return self.sampler.draw(generator, count)

    def observe(self, step: int, losses: Losses) -> None:
        pass

    def state(self) -> Mapping[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass


def adaptive(sampler: Sampler | Adaptive) -> Adaptive:
    """Any sampler behind the one interface of the loop."""
    return sampler if isinstance(sampler, Adaptive) else Constant(sampler)
