"""The cost-folded chain as a sampler: a mixture over budgets, and options that prove useful.

Paths are drawn with probability proportional to exp(eta * utility - mu * cost), mixed over budgets
between the cheapest and the dearest path (:class:`tipsc.dtmc.mixture.FoldedMixture`). Costs are
MACs, as long as nothing was measured. With ``eta`` above 0 the utility is learned from the losses
while the training goes on, and folded in again every so many steps.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal

import numpy as np
from torch import Tensor

from tipsc.dtmc.mixture import FoldedMixture, Spread
from tipsc.elastic import CostModel, Supernet, additive_totals
from tipsc.errors import ConfigError
from tipsc.factors import Additive
from tipsc.paths import Path
from tipsc.train.chance import seed_of
from tipsc.train.samplers.interface import Adaptive, Losses, Probe
from tipsc.train.utility import Utility

_REFERENCE = 64


class LearningMixture:
    """A mixture whose utility is learned.

    A utility of 1 is one standard deviation over uniform paths, its uncertainty included: as long
    as little is known, little is preferred.

    Args:
        mixture: its ``eta`` weighs the utility.
        costs: what the mixture was made of.
        utility: what is learned.
        every: steps between foldings, at least 1.
    """

    def __init__(
        self, mixture: FoldedMixture, costs: tuple[Additive, ...], utility: Utility, every: int
    ) -> None:
        if every < 1:
            raise ConfigError("folded: every is out of range", expected="at least 1", got=every)
        self.mixture, self.costs, self.utility, self.every = mixture, costs, utility, every
        generator, space = random.Random(0), utility.space
        self._reference = [space.sample_options(generator) for _ in range(_REFERENCE)]
        self._folded = utility.state()  # what the mixture was folded with

    def draw_with(self, generator: random.Random, count: int, probe: Probe) -> list[Path]:
        return self.mixture.draw(generator, count)

    def observe(self, step: int, losses: Losses) -> None:
        self.utility.observe(losses)
        if (step + 1) % self.every == 0:
            self._fold()

    def _fold(self) -> None:
        self._folded = self.utility.state()
        values, deviations = self.utility.predict(self._reference)
        spread = float(np.sqrt(values.var() + np.mean(deviations**2)))
        self.mixture = self.mixture.refolded(self.costs, self.utility.additive() * (1 / spread))

    def state(self) -> Mapping[str, Tensor]:
        folded = {f"folded.{name}": value for name, value in self._folded.items()}
        return {**self.utility.state(), **folded}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.utility.load_state({n.removeprefix("folded."): v for n, v in state.items()
                                 if n.startswith("folded.")})  # fmt: skip
        if self.utility.is_informed:
            self._fold()
        self.utility.load_state({n: v for n, v in state.items() if not n.startswith("folded.")})


def make(
    supernet: Supernet,
    seed: int,
    budgets: int = 7,
    spacing: Literal["linear", "log"] = "log",
    eta: float = 0.0,
    interactions: bool = False,
    tas: bool = True,
    every: int = 100,
    thrift: float = 1.0,
) -> FoldedMixture | Adaptive:
    """Costs are MACs.

    Args:
        budgets: how many the mixture has.
        spacing: of the budgets, evenly in the cost ("linear") or in its logarithm ("log").
        eta: weight of the learned utility, in standard deviations; 0 to learn none.
        interactions: utility also of pairs of neighbouring choices.
        tas: the published scores are the utility's prior.
        every: steps between foldings of the utility.
        thrift: 1 trains all budgets with as much compute, 0 with as many steps. Steps on cheap
            paths are cheap, so 1 makes more of them; it trained better (docs/samplers.md).
    """
    costs = (additive_totals(supernet)["macs"],)
    mixture = FoldedMixture.of(costs, spread=Spread(budgets, spacing, thrift=thrift), eta=eta)
    if eta == 0:
        return mixture
    scores = _tas(supernet, seed) if tas else None
    utility = Utility(supernet.space, scores=scores, interactions=interactions)
    return LearningMixture(mixture, costs, utility, every)


def _tas(supernet: Supernet, seed: int) -> tuple[tuple[float, ...], ...]:
    """What each option adds to the topological path score."""
    from tipsc.dtmc.tips import tips_sampler

    model, generator = CostModel(supernet), random.Random(seed_of("tips", seed))
    return tips_sampler(supernet.space, lambda path: model.trace(path).steps, generator).effects
