"""The paths that ship, as a sampler: where the chain has narrowed to."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from tipsc.errors import DataError
from tipsc.paths import Path


@dataclass(frozen=True)
class Shipping:
    """Draws from a few paths alone.

    Args:
        paths: distinct, at least one.
        weights: how often each is drawn, in any unit; positive.
    """

    paths: tuple[Path, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        distinct = len(set(self.paths)) == len(self.paths) == len(self.weights)
        if not self.paths or not distinct or min(self.weights) <= 0:
            raise DataError(
                "these are no paths to draw from",
                expected="distinct paths, at least one, each with a positive weight",
                got=f"{len(set(self.paths))} distinct paths, weights {list(self.weights)}",
            )

    @classmethod
    def of(cls, paths: Sequence[Path], costs: Sequence[float], thrift: float = 1.0) -> Shipping:
        """Paths of these costs.

        Args:
            costs: of each, in any unit; positive.
            thrift: 1 gives each path as much compute, 0 as many steps.
        """
        return cls(tuple(paths), tuple(cost**-thrift for cost in costs))

    @classmethod
    def mixed(cls, parts: Sequence[Shipping]) -> Shipping:
        """The mixture over several devices' paths: each of them has as large a share of the draws.

        A path that ships on several devices adds up what it has in each; one part stays as it is.
        """
        if len(parts) == 1:
            return parts[0]
        share: dict[Path, float] = {}
        for part in parts:
            whole = math.fsum(part.weights)
            for path, weight in zip(part.paths, part.weights, strict=True):
                share[path] = share.get(path, 0.0) + weight / whole / len(parts)
        return cls(tuple(share), tuple(share.values()))

    @cached_property
    def _ends(self) -> list[float]:
        return list(accumulate(self.weights))

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        """`count` paths; distinct as far as there are so many, as a step gains nothing by twins."""
        found: list[Path] = []
        while len(found) < count:
            path = generator.choices(self.paths, cum_weights=self._ends)[0]
            if path not in found or len(set(found)) == len(self.paths):
                found.append(path)
        return found
