"""Which paths a training step runs.

A sampler does not change once it is made: all chance comes from the generator that the caller
hands in, so that training resumed from a checkpoint draws the very same paths.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from tipsc.paths import Path, SearchSpace


class Sampler(Protocol):
    """Draws the paths of a training step."""

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        """`count` paths, repeats allowed."""


@dataclass(frozen=True)
class Uniform:
    """Every choice uniform over its options (single-path one-shot, arXiv 1904.00420)."""

    space: SearchSpace

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        return [self.space.sample_options(generator) for _ in range(count)]


@dataclass(frozen=True)
class Sandwich:
    """The largest path, the smallest, and the rest from another sampler.

    The sandwich rule of US-Nets (arXiv 1903.05134) draws the rest uniformly, which is the default.
    A single path is the largest.
    """

    space: SearchSpace
    middle: Sampler | None = None

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        middle = self.middle or Uniform(self.space)
        ends = [self.space.largest, self.space.smallest]
        return ends[:count] + middle.draw(generator, max(0, count - len(ends)))
