"""The published TIPS sampler: paths with a high topological path score are drawn more often.

TIPS (ICML 2023, arXiv 2305.08021) scores operations once, before training, and then trains the
important ones more; it leaves open by how much. Here: the uniform distribution q over options is
tilted by the score,

    p(path)  proportional to  q(path) * exp(TPS(path) / (temperature * sigma)),

sigma the standard deviation of TPS under q. So a temperature of 1 raises the mean TPS by about one
standard deviation, infinity is uniform sampling, and no path is ever left out. The draw is exact,
in one pass over the choices, because TPS is taken as a sum of effects of the active choices. That
is no approximation where each feature map owes its presence to one choice and its gates, as in
every chain of blocks; ``fit`` says how much of TPS it explains. See ``docs/chain.md``.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from tipsc.dtmc.graph import Step, feature_maps, supergraph
from tipsc.dtmc.hyper import tas
from tipsc.errors import DataError
from tipsc.paths import Choice, Path, SearchSpace

StepsOf = Callable[[Path], Sequence[Step]]


@dataclass(frozen=True)
class Tips:
    """A sampler of paths; make it with :func:`tips_sampler`.

    Args:
        space: the search space.
        effects: for each choice, for each option: what it adds to TPS over the smallest option.
        sharpness: 1 / (temperature * sigma); 0 is uniform sampling.
        fit: share of the variance of TPS that the effects explain, at most 1.
    """

    space: SearchSpace
    effects: tuple[tuple[float, ...], ...]
    sharpness: float
    fit: float = 1.0

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        return [self._draw_one(generator) for _ in range(count)]

    def _draw_one(self, generator: random.Random) -> Path:
        options: dict[str, int] = {}
        for choice, cumulative in self._cumulative:
            if _is_on(choice, options):
                place = bisect_right(cumulative, generator.random())
                options[choice.name] = choice.options[place]
        return self.space.path(options)

    def log_probability(self, path: Path) -> float:
        """Natural logarithm of the probability of drawing `path`."""
        options: dict[str, int] = {}
        total = 0.0
        for choice, weights in zip(self.space.choices, self._log_weights, strict=True):
            if _is_on(choice, options):
                options[choice.name] = path[choice.name]
                place = choice.options.index(path[choice.name])
                total += weights[place] - _log_sum(weights)
        return total

    @cached_property
    def _log_weights(self) -> tuple[tuple[float, ...], ...]:
        """For each option: its own weight times the sums of the choices that it switches on."""
        sums: dict[str, float] = {}
        weights: list[tuple[float, ...]] = []
        pairs = list(zip(self.space.choices, self.effects, strict=True))
        for choice, effects in reversed(pairs):  # a gated choice comes after its gate
            gated = [c for c in self.space.choices if c.gate == choice.name]
            weights.append(
                tuple(
                    self.sharpness * effect
                    - math.log(len(choice.options))
                    + sum(sums[c.name] for c in gated if option >= c.gate_from)
                    for option, effect in zip(choice.options, effects, strict=True)
                )
            )
            sums[choice.name] = _log_sum(weights[-1])
        return tuple(reversed(weights))

    @cached_property
    def _cumulative(self) -> tuple[tuple[Choice, tuple[float, ...]], ...]:
        """For each choice the inner bounds of its options in [0, 1)."""
        tables = []
        for choice, weights in zip(self.space.choices, self._log_weights, strict=True):
            shares = np.exp(np.array(weights) - _log_sum(weights))
            tables.append((choice, tuple(np.cumsum(shares)[:-1].tolist())))
        return tuple(tables)


def tips_sampler(
    space: SearchSpace,
    steps_of: StepsOf,
    generator: random.Random,
    *,
    subnetworks: int = 64,
    coupling: float = 1.0,
    temperature: float = 1.0,
) -> Tips:
    """Scores the supernet and makes its sampler.

    TAS comes from the largest path, the smallest and uniform ones; an operation that none of them
    runs has none. Each option of each choice is then traced once for its effect.

    Args:
        steps_of: traces a path; called at most `subnetworks` + number of options times.
        generator: draws the subnetworks, here only; a draw of the sampler has its own.
        subnetworks: T of the paper, at least 4.
        coupling: lambda of the paper.
        temperature: in standard deviations of TPS; above 0, ``math.inf`` for uniform sampling.

    Raises:
        DataError: an argument out of its range.
    """
    _check(subnetworks, temperature)
    uniform = [space.sample_options(generator) for _ in range(subnetworks - 2)]
    traces = {path: steps_of(path) for path in (space.largest, space.smallest, *uniform)}
    union = supergraph([traces[path] for path in (space.largest, space.smallest, *uniform)])
    scores = dict(zip(union.graph.nodes, tas(union, coupling).tolist(), strict=True))

    def score(path: Path) -> float:
        steps = traces[path] if path in traces else steps_of(path)
        return math.fsum(scores.get(name, 0.0) for name in feature_maps(steps))

    return _tilted(space, score, uniform, temperature)


def score_sampler(
    space: SearchSpace,
    score: Callable[[Path], float],
    generator: random.Random,
    *,
    subnetworks: int = 64,
    temperature: float = 1.0,
) -> Tips:
    """The same sampler for any score of paths that adds up over choices.

    Args:
        score: called at most `subnetworks` + number of options times.
        generator: draws the subnetworks whose scores give sigma.
        subnetworks: at least 4.
        temperature: in standard deviations of the score; above 0.

    Raises:
        DataError: an argument out of its range.
    """
    _check(subnetworks, temperature)
    uniform = [space.sample_options(generator) for _ in range(subnetworks - 2)]
    return _tilted(space, score, uniform, temperature)


def _check(subnetworks: int, temperature: float) -> None:
    if subnetworks < 4 or not temperature > 0:
        raise DataError(
            "these are no settings of the TIPS sampler",
            expected="subnetworks >= 4 and temperature > 0",
            got=f"subnetworks {subnetworks}, temperature {temperature}",
        )


def _tilted(
    space: SearchSpace, score: Callable[[Path], float], uniform: list[Path], temperature: float
) -> Tips:
    score = cache(score)  # many choices start from the same path
    effects = tuple(_effects(space, choice, score) for choice in space.choices)
    measured = np.array([score(path) for path in uniform])
    predicted = np.array([_predict(space, effects, path) for path in uniform])
    sigma = float(measured.std())
    # Rounding alone must not pass for a difference between paths.
    differs = sigma > 1e-12 * float(np.abs(measured).max())
    residual = (measured - measured.mean()) - (predicted - predicted.mean())
    return Tips(
        space=space,
        effects=effects,
        sharpness=1.0 / (temperature * sigma) if differs else 0.0,
        fit=1.0 - float(residual.var()) / sigma**2 if differs else 1.0,
    )


def _effects(
    space: SearchSpace, choice: Choice, score: Callable[[Path], float]
) -> tuple[float, ...]:
    """TPS of each option over the smallest, everything else as small as its gates allow."""
    values = [score(space.smallest_with({choice.name: o})) for o in choice.options]
    return tuple(value - values[0] for value in values)


def _predict(space: SearchSpace, effects: Sequence[Sequence[float]], path: Path) -> float:
    # An inactive choice holds its smallest option, whose effect is zero.
    return math.fsum(
        effect[choice.options.index(path[choice.name])]
        for choice, effect in zip(space.choices, effects, strict=True)
    )


def _is_on(choice: Choice, options: Mapping[str, int]) -> bool:
    """Whether the choice is active, given the options of the active choices before it."""
    return choice.gate is None or options.get(choice.gate, -math.inf) >= choice.gate_from


def _log_sum(logarithms: Sequence[float]) -> float:
    top = max(logarithms)
    return top + math.log(math.fsum(math.exp(value - top) for value in logarithms))
