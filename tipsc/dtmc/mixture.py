"""The cost-folded sampler of training: a mixture of chains over budgets and over devices.

One chain draws paths around one expected cost. A supernet that is to serve every budget is trained
on a mixture of chains, their budgets spread over what its paths cost; one that is to serve a fleet,
on the mixture over the devices' costs, too. When costs are measured again, :meth:`refolded` makes
the new mixture in milliseconds, and no training is lost.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

import numpy as np

from tipsc.dtmc.budget import price_for
from tipsc.dtmc.choice_graph import ChoiceGraph
from tipsc.dtmc.folded import Base, FoldedChain, edge_weights, graph_for
from tipsc.errors import DataError
from tipsc.factors import Additive
from tipsc.paths import Path


@dataclass(frozen=True)
class Spread:
    """Which budgets a mixture has, on each device between the costs of its own paths.

    Args:
        budgets: how many, at least 1.
        scale: ``log`` spaces them evenly in the logarithm of cost (costs must be positive),
            ``linear`` in the cost.
        between: the first and the last budget, as shares of the way from the cheapest path to the
            dearest on that scale. At 0 and 1 a chain draws the cheapest or dearest paths only.
        thrift: a budget weighs its cost to the power of -thrift: with 0 all budgets get as many
            draws, with 1 as much compute.
    """

    budgets: int = 7
    scale: Literal["log", "linear"] = "log"
    between: tuple[float, float] = (0.05, 0.95)
    thrift: float = 0.0

    def __post_init__(self) -> None:
        first, last = self.between
        if self.budgets < 1 or not 0 <= first <= last <= 1 or self.scale not in ("log", "linear"):
            raise DataError(
                "these are no budgets of a mixture",
                expected="at least 1, scale log or linear, 0 <= first share <= last share <= 1",
                got=self,
            )

    def weights(self, budgets: Sequence[float]) -> list[float]:
        """The share of each budget in the draws; together 1."""
        raw = [1.0 if self.thrift == 0 else budget**-self.thrift for budget in budgets]
        return [weight / math.fsum(raw) for weight in raw]

    def over(self, low: float, high: float) -> list[float]:
        """The budgets for costs from `low` to `high`."""
        first, last = self.between
        shares = np.linspace(first, last, self.budgets)
        if self.budgets == 1:
            shares = np.array([(first + last) / 2])
        if self.scale == "linear":
            values = low + shares * (high - low)
        elif low <= 0:
            raise DataError(
                "budgets cannot be spaced logarithmically over these costs",
                expected="every path to cost more than 0",
                got=f"a path that costs {low:.6g}",
                fix="use the linear scale",
            )
        else:
            values = low * (high / low) ** shares
        return np.clip(values, low, high).tolist()


@dataclass(frozen=True, eq=False)
class FoldedMixture:
    """A sampler of paths; make it with :meth:`of`.

    Args:
        chains: its components, over one graph.
        weights: of the components, positive, summing to 1.
        spread, utility, eta, base: how it was made, for :meth:`refolded`.
    """

    chains: tuple[FoldedChain, ...]
    weights: tuple[float, ...]
    spread: Spread
    utility: Additive | None
    eta: float
    base: Base
    _device_weights: tuple[float, ...]

    @classmethod
    def of(
        cls,
        costs: Sequence[Additive],
        *,
        spread: Spread | None = None,
        utility: Additive | None = None,
        eta: float = 0.0,
        base: Base = "options",
        device_weights: Sequence[float] | None = None,
        graph: ChoiceGraph | None = None,
    ) -> FoldedMixture:
        """The mixture over the budgets of each device; all budgets of a device weigh the same.

        Args:
            costs: one for each device, of one search space; units may differ.
            spread: of the budgets; default: seven, evenly in the logarithm of cost.
            utility, eta, base: as in :meth:`FoldedChain.of`.
            device_weights: positive; default: all equal.
            graph: to reuse, if it was made for the scopes of the costs and the utility.

        Raises:
            DataError: no costs, weights that do not match, or functions of different spaces.
        """
        if not costs:
            raise DataError("a mixture needs the costs of at least one device")
        device_weights = tuple(device_weights or [1.0] * len(costs))
        if len(device_weights) != len(costs) or not all(
            0 < weight < math.inf for weight in device_weights
        ):
            raise DataError(
                "the weights of the devices are not usable",
                expected=f"{len(costs)} positive numbers",
                got=list(device_weights),
            )
        spread = spread or Spread()
        functions = [*costs, *([] if utility is None else [utility])]
        graph = graph or graph_for(*functions)
        chains, weights = [], []
        for cost, weight in zip(costs, device_weights, strict=True):
            edges = edge_weights(graph, cost, utility, base)
            found = spread.over(*edges.range)
            for budget, share in zip(found, spread.weights(found), strict=True):
                chains.append(FoldedChain(graph, price_for(edges, budget, eta=eta).chain))
                weights.append(weight / sum(device_weights) * share)
        return cls(tuple(chains), tuple(weights), spread, utility, eta, base, tuple(device_weights))

    def refolded(self, costs: Sequence[Additive], utility: Additive | None = None) -> FoldedMixture:
        """The same mixture for new costs, and a new utility if one is given.

        The unrolled graph is used again where it can carry them.
        """
        utility = self.utility if utility is None else utility
        functions = [*costs, *([] if utility is None else [utility])]
        graph = self.chains[0].graph
        fits = all(graph.carries(function.scopes) for function in functions)
        return FoldedMixture.of(
            costs,
            spread=self.spread,
            utility=utility,
            eta=self.eta,
            base=self.base,
            device_weights=self._device_weights
            if len(costs) == len(self._device_weights)
            else None,
            graph=graph if fits else None,
        )

    @cached_property
    def _bounds(self) -> list[float]:
        """Inner bounds of the components in [0, 1)."""
        return list(accumulate(self.weights))[:-1]

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        """`count` paths, their components stratified (systematic sampling).

        Each path by itself has the distribution of the mixture. Together they spread over the
        components as evenly as `count` allows, so that a step sees cheap and dear paths.
        """
        if count < 1:
            return []
        start = generator.random()
        places = [bisect_right(self._bounds, (start + i) / count) for i in range(count)]
        if count > 1:
            generator.shuffle(places)
        return [self.chains[place].sample(generator) for place in places]

    def log_probability(self, path: Path) -> float:
        """Natural logarithm of the probability that a draw is `path`; -inf if it never is."""
        terms = [
            math.log(weight) + chain.log_probability(path)
            for weight, chain in zip(self.weights, self.chains, strict=True)
        ]
        top = max(terms)
        if top == -math.inf:
            return top
        return top + math.log(math.fsum(math.exp(term - top) for term in terms))
