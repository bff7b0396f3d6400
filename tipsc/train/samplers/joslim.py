"""Joslim (ECML PKDD 2021, arXiv 2007.11752): paths and weights optimised jointly.

The paper's, by its abstract and the authors' released code (github.com/enyac-group/Joslim), not by
a full reading of the text: every `interval` steps the losses of all earlier selections are
measured again on the current weights (temporal similarity: they are the history, whatever the
weights were); a Gaussian process is fitted to them; for each path of a step a target cost is
drawn uniformly, and the trade-off weight of an augmented Chebyshev scalarisation of optimistic loss
and cost (their lower confidence bounds) is found by binary search such that the minimiser costs
the target, to within 2 % of the largest path's cost in at most 10 trials; the selected paths are
trained for `interval` steps, together with the largest path, which teaches them, and the smallest
(``distill`` and ``with_smallest`` of the training). The first `prior` selections have one relative
size in all choices.

Ours: costs are counted exactly, so that only the loss has a Gaussian process; the scalarisation is
minimised over a pool of random paths of all sizes and of neighbours of the history, then by local
search, because options are discrete; losses are measured on the training mini-batch instead of a
validation batch; no more than `history` selections are kept, the newest; the kernel's parameters
come from a grid. The code's interval is 200 steps; ours is shorter because our trainings are.

Measuring the history again costs a forward pass for each entry, which the history counts as
trials; the rest of a selection is counted as overhead.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tipsc.elastic import Supernet
from tipsc.errors import ConfigError
from tipsc.paths import Path, SearchSpace
from tipsc.train.macs import mac_counter
from tipsc.train.samplers.gaussian_process import GaussianProcess, fit
from tipsc.train.samplers.interface import Losses, Probe

Floats = NDArray[np.float64]
_TRIALS = 10
_NEAR = 0.02
_AUGMENTED = 1e-6


@dataclass
class Joslim:
    """Selects paths near the Pareto front of loss and cost, and keeps them for some steps.

    Args:
        space: the search space.
        cost: of a path.
        interval: steps that a selection is trained for.
        prior: how many selections precede the optimisation.
        history: most selections that are remembered.
        optimism: beta of the confidence bound, mean - sqrt(beta) * standard deviation.
        pool: candidates of one selection.
    """

    space: SearchSpace
    cost: Callable[[Path], float]
    interval: int = 50
    prior: int = 10
    history: int = 50
    optimism: float = 0.1
    pool: int = 256
    selected: list[Path] = field(default_factory=list, init=False)
    remembered: list[Path] = field(default_factory=list, init=False)
    _done: int = field(default=0, init=False)  # selections so far
    _left: int = field(default=0, init=False)  # steps until the next

    def __post_init__(self) -> None:
        least = {"interval": 1, "prior": 2, "history": 2, "optimism": 0, "pool": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(
                    f"joslim: {name} is out of range",
                    expected=f"at least {bound}",
                    got=getattr(self, name),
                )

    def draw_with(self, generator: random.Random, count: int, probe: Probe) -> list[Path]:
        if self._left == 0 or len(self.selected) != count:
            self.selected = self._select(generator, count, probe)
            self.remembered = [*self.remembered, *self.selected][-self.history :]
            self._done += count
            self._left = self.interval
        self._left -= 1
        return list(self.selected)

    def _select(self, generator: random.Random, count: int, probe: Probe) -> list[Path]:
        known = list(dict.fromkeys(self.remembered))
        if self._done < self.prior or len(known) < 2:
            return [self._of_one_size(generator.random()) for _ in range(count)]
        model = fit(self._features(known), np.array([probe(path) for path in known]))
        pool = self._pool(generator, known)
        return [self._near_front(generator, model, pool) for _ in range(count)]

    def _near_front(
        self, generator: random.Random, model: GaussianProcess, pool: list[Path]
    ) -> Path:
        """The minimiser whose cost is a random target's, by binary search over the trade-off."""
        losses, costs = self._objectives(model, pool)
        low = self._share(self.space.smallest)
        target = generator.uniform(low, 1.0)
        # Both objectives from 0 to 1, or a weight would favour the one of larger unit.
        offset, span = float(losses.min()), float(np.ptp(losses)) or 1.0

        def scalar(losses: Floats, costs: Floats, weight: float) -> Floats:
            loss, cost = (losses - offset) / span, (costs - low) / max(1.0 - low, 1e-12)
            larger = np.maximum((1 - weight) * loss, weight * cost)
            mixed: Floats = larger + _AUGMENTED * ((1 - weight) * loss + weight * cost)
            return mixed

        least, most = 0.0, 1.0
        for _ in range(_TRIALS):
            weight = (least + most) / 2
            best = int(scalar(losses, costs, weight).argmin())
            if abs(costs[best] - target) <= _NEAR:
                break
            least, most = (weight, most) if costs[best] > target else (least, weight)
        return self._descend(model, pool[best], lambda a, b: scalar(a, b, weight))

    def _descend(
        self, model: GaussianProcess, start: Path, scalar: Callable[[Floats, Floats], Floats]
    ) -> Path:
        """Local search over the paths that differ from the best so far in one choice."""
        for _ in range(len(self.space.choices)):
            around = [start, *_neighbours(self.space, start)]
            best = around[int(scalar(*self._objectives(model, around)).argmin())]
            if best == start:
                break
            start = best
        return start

    def _objectives(self, model: GaussianProcess, paths: list[Path]) -> tuple[Floats, Floats]:
        """Optimistic losses, and costs as shares of the largest path's."""
        mean, deviation = model.predict(self._features(paths))
        costs = np.array([self._share(path) for path in paths])
        return mean - math.sqrt(self.optimism) * deviation, costs

    def _share(self, path: Path) -> float:
        return self.cost(path) / self.cost(self.space.largest)

    def _pool(self, generator: random.Random, known: list[Path]) -> list[Path]:
        """Known paths, neighbours of theirs, and paths of all sizes."""
        pool = [self.space.smallest, self.space.largest, *known]
        for _ in range(self.pool // 2):
            around = _neighbours(self.space, generator.choice(known))
            pool.append(generator.choice(around) if around else known[0])
        for _ in range(self.pool - self.pool // 2):
            size = generator.random()
            options = {
                choice.name: choice.options[
                    sum(generator.random() < size for _ in choice.options[1:])
                ]
                for choice in self.space.choices
            }
            pool.append(self.space.path(options))
        return list(dict.fromkeys(pool))

    def _of_one_size(self, size: float) -> Path:
        """The same relative size in all choices, from 0 (smallest) to 1 (largest)."""
        return self.space.path(
            {c.name: c.options[round(size * (len(c.options) - 1))] for c in self.space.choices}
        )

    def _features(self, paths: list[Path]) -> Floats:
        """(n, choices): the place of each option among the choice's, from 0 to 1."""
        return np.array([_places(self.space, path) for path in paths], float) / np.array(
            [max(1, len(choice.options) - 1) for choice in self.space.choices]
        )

    def observe(self, step: int, losses: Losses) -> None:
        """Nothing: losses of other batches do not compare; the history is measured again."""

    def state(self) -> Mapping[str, Tensor]:
        width = len(self.space.choices)

        def table(paths: list[Path]) -> Tensor:
            rows = [_places(self.space, path) for path in paths]
            return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), width)

        return {
            "selected": table(self.selected),
            "remembered": table(self.remembered),
            "counters": torch.tensor([self._done, self._left]),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        def paths(rows: Tensor) -> list[Path]:
            choices = self.space.choices
            return [
                self.space.path({c.name: c.options[i] for c, i in zip(choices, row, strict=True)})
                for row in rows.tolist()
            ]

        self.selected, self.remembered = paths(state["selected"]), paths(state["remembered"])
        self._done, self._left = state["counters"].tolist()


def _places(space: SearchSpace, path: Path) -> list[int]:
    pairs = zip(space.choices, path.values, strict=True)
    return [choice.options.index(option) for choice, option in pairs]


def _neighbours(space: SearchSpace, path: Path) -> list[Path]:
    """Paths whose options differ in one step of one choice."""
    found = [
        space.path({**path.options, choice.name: choice.options[other]})
        for choice, place in zip(space.choices, _places(space, path), strict=True)
        for other in (place - 1, place + 1)
        if 0 <= other < len(choice.options)
    ]
    return [p for p in dict.fromkeys(found) if p != path]


def make(
    supernet: Supernet, seed: int, interval: int = 50, prior: int = 10, history: int = 50
) -> Joslim:
    """Costs are MACs.

    Args:
        interval: steps that a selection of paths is trained for.
        prior: selections drawn at random before the optimisation begins.
        history: most selections that are remembered.
    """
    return Joslim(supernet.space, mac_counter(supernet), interval, prior, history)
