"""Budget-uniform: costs evenly spread between the smallest and the largest path, by rejection.

A target cost is drawn, uniform or log-uniform over the range, then paths until one costs nearly
that. Uniform paths would practically never cost as little or as much as the ends of the range. So
paths are proposed with all options tilted alike, p(option i of n) proportional to
exp(tilt * i / (n - 1)), and the tilt is the one whose mean cost is the target. The tilt is ours.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from tipsc.elastic import Supernet
from tipsc.errors import ConfigError
from tipsc.paths import Path, SearchSpace
from tipsc.train.macs import mac_counter

Spacing = Literal["linear", "log"]
_TILTS = np.linspace(-12.0, 12.0, 25)
_PATHS_A_TILT = 32


@dataclass(frozen=True)
class BudgetUniform:
    """Paths whose cost is uniform over the range of costs.

    Args:
        space: the search space; its smallest and largest path cost least and most.
        cost: of a path, above 0, in any unit.
        spacing: uniform in the cost ("linear") or in its logarithm ("log").
        tolerance: how far from its target a path may be, as a share of the range.
        tries: proposals for one target; then the nearest is taken.
        thrift: targets have a density proportional to cost to the power of -thrift times that of
            the spacing: with 1 all parts of the range get as much compute.
    """

    space: SearchSpace
    cost: Callable[[Path], float]
    spacing: Spacing = "linear"
    tolerance: float = 0.02
    tries: int = 50
    thrift: float = 0.0

    def __post_init__(self) -> None:
        if self.spacing not in ("linear", "log") or self.tolerance <= 0 or self.tries < 1:
            raise ConfigError(
                "these are no options of budget-uniform",
                expected='spacing "linear" or "log", tolerance above 0, tries at least 1',
                got=f"{self.spacing}, {self.tolerance}, {self.tries}",
            )

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        return [self.near(generator, self._target(generator)) for _ in range(count)]

    def _target(self, generator: random.Random) -> float:
        low, high = self.range
        while True:  # rejection; the cheapest target is always accepted
            target = generator.uniform(low, high)
            ratio = math.exp(low - target) if self.spacing == "log" else low / target
            if generator.random() <= ratio**self.thrift:
                return target

    def near(self, generator: random.Random, target: float) -> Path:
        """A path that costs about `target`, which is on the scale of :meth:`position`."""
        tilt = float(np.interp(target, *self._table))
        low, high = self.range
        nearest, gap = self.space.smallest, math.inf
        for _ in range(self.tries):
            path = self._propose(generator, tilt)
            distance = abs(self.position(path) - target)
            if distance < gap:
                nearest, gap = path, distance
            if gap <= self.tolerance * (high - low):
                break
        return nearest

    def position(self, path: Path) -> float:
        """The path's cost, or its logarithm."""
        cost = self.cost(path)
        return math.log(cost) if self.spacing == "log" else cost

    @cached_property
    def range(self) -> tuple[float, float]:
        """Positions of the smallest and the largest path."""
        return self.position(self.space.smallest), self.position(self.space.largest)

    def _propose(self, generator: random.Random, tilt: float) -> Path:
        options = {}
        for choice in self.space.choices:
            steps = max(1, len(choice.options) - 1)
            weights = [math.exp(tilt * i / steps) for i in range(len(choice.options))]
            options[choice.name] = generator.choices(choice.options, weights)[0]
        return self.space.path(options)

    @cached_property
    def _table(self) -> tuple[list[float], list[float]]:
        """Mean positions, increasing, and the tilts that give them."""
        means = []
        for tilt in _TILTS:
            generator = random.Random(0)  # the same chance for all tilts: monotone
            paths = [self._propose(generator, float(tilt)) for _ in range(_PATHS_A_TILT)]
            means.append(math.fsum(map(self.position, paths)) / len(paths))
        return np.maximum.accumulate(means).tolist(), _TILTS.tolist()


def make(
    supernet: Supernet,
    seed: int,
    spacing: Spacing = "linear",
    tolerance: float = 0.02,
    tries: int = 50,
    thrift: float = 0.0,
) -> BudgetUniform:
    """Costs are MACs.

    Args:
        spacing: uniform in the cost ("linear") or in its logarithm ("log").
        tolerance: how far from its target a path may be, as a share of the range.
        tries: proposals for one target; then the nearest is taken.
        thrift: 1 gives all parts of the range as much compute, 0 as many paths.
    """
    return BudgetUniform(supernet.space, mac_counter(supernet), spacing, tolerance, tries, thrift)
