"""The best paths by an additive utility that keep some limits: exactly, or nearly so.

Small spaces are enumerated. In large ones the limits become prices (Lagrangian relaxation): at the
prices that make the bound ``max over paths of utility - sum prices * (cost - most)`` smallest,
paths are listed from the best priced value down, and the first that keep the limits are the answer.
No path that is listed later can be better than its bound; once the bound is below what was found,
that is the exact optimum (Handler and Zang, 1980, for one limit). The prices come from cutting
planes (Kelley, 1960): every walk that was best at some prices is a plane.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tipsc.dtmc.best import best_walk, ordered_walks
from tipsc.dtmc.choice_graph import ChoiceGraph
from tipsc.dtmc.folded import graph_for
from tipsc.factors import Additive, Floats, Integers, option_numbers
from tipsc.paths import Path, SearchSpace
from tipsc.search.limits import ROUNDING, Limit, excess

ENUMERATED = 10_000
"""A space with at most so many paths is enumerated."""

MOST_LISTED = 300
"""Paths that are listed at the best prices before the search for still better ones is given up."""

_CUTS = 60
_DEAREST = 1e6  # a price: utility's whole range for a millionth of a cost's


@dataclass(frozen=True, eq=False)
class Listed:
    """A space that is small enough to enumerate."""

    space: SearchSpace

    @cached_property
    def paths(self) -> list[Path]:
        """All of them."""
        return list(self.space.enumerate(ENUMERATED))

    @cached_property
    def numbers(self) -> Integers:
        """(paths, choices) their option numbers."""
        return option_numbers(self.space, self.paths)

    def best(self, utility: Additive, limits: Sequence[Limit], k: int) -> list[Path]:
        """The `k` best paths within the limits, best first; fewer if there are fewer."""
        allowed = np.flatnonzero(excess(limits, self.numbers) <= ROUNDING)
        order = np.argsort(-utility.of_numbers(self.numbers[allowed]), kind="stable")
        return [self.paths[i] for i in allowed[order[:k]]]

    def nearest(self, limits: Sequence[Limit]) -> Path:
        """The path that keeps the limits with the most room, or misses them by least."""
        return self.paths[int(np.argmin(excess(limits, self.numbers)))]


@dataclass(frozen=True, eq=False)
class Unrolled:
    """A space that is too large to enumerate, unrolled into a graph.

    Args:
        graph: made for the scopes of all functions that will be asked for.
    """

    graph: ChoiceGraph

    def best(self, utility: Additive, limits: Sequence[Limit], k: int) -> list[Path]:
        """The `k` best paths within the limits, best first, as far as the listing finds them."""
        dag, worth = self.graph.dag, self.graph.edge_values(utility)
        costs = np.array([self._relative(limit) for limit in limits]).reshape(
            len(limits), len(worth)
        )
        prices = self._prices(worth, costs)
        bound = float(prices.sum())  # what keeping every limit exactly would give back
        found: list[tuple[float, int, tuple[int, ...]]] = []
        for rank, (value, walk) in enumerate(ordered_walks(dag, worth - prices @ costs)):
            if rank == MOST_LISTED or (len(found) == k and value + bound <= found[0][0]):
                break
            if (costs[:, walk].sum(axis=1) <= 1.0 + ROUNDING).all():
                add = heapq.heappush if len(found) < k else heapq.heappushpop
                add(found, (float(worth[list(walk)].sum()), -rank, walk))
        return [self.graph.path(walk) for _, _, walk in sorted(found, reverse=True)]

    def nearest(self, limits: Sequence[Limit]) -> Path:
        """The path that keeps the limits with the most room, or misses them by least; nearly."""
        costs = np.array([self._relative(limit) for limit in limits])
        if not len(costs):
            return self.graph.space.smallest
        # Of the largest excess the bound is a mean of the excesses: one share for each limit.
        shares, walks = np.full(len(costs), 1.0 / len(costs)), []
        for _ in range(_CUTS):
            _, walk = best_walk(self.graph.dag, -(shares @ costs))
            over = costs[:, walk].sum(axis=1)
            walks.append((float(over.max()), walk))
            shares = shares * np.exp(over - over.max())  # multiplicative weights
            shares /= shares.sum()
        return self.graph.path(min(walks)[1])

    def _relative(self, limit: Limit) -> Floats:
        return self.graph.edge_values(limit.cost) / limit.allowed

    def _prices(self, worth: Floats, costs: Floats) -> Floats:
        """(limits,) non-negative prices of costs in units of their limits."""
        from scipy.optimize import linprog

        dag, limits = self.graph.dag, len(costs)
        highest, lowest = best_walk(dag, worth)[0], -best_walk(dag, -worth)[0]
        scale = (highest - lowest) or 1.0
        spans = [best_walk(dag, c)[0] + best_walk(dag, -c)[0] or 1.0 for c in costs]
        bounds = [(0.0, _DEAREST * scale / span) for span in spans]
        prices, lower = np.zeros(limits), -np.inf
        planes: list[list[float]] = []
        heights: list[float] = []
        for _ in range(_CUTS if limits else 0):
            _, walk = best_walk(dag, worth - prices @ costs)
            room = 1.0 - costs[:, walk].sum(axis=1)
            planes.append([*room, -1.0])
            heights.append(-float(worth[list(walk)].sum()))
            value = -heights[-1] + prices @ room
            if value <= lower + 1e-9 * scale:
                break
            # min t subject to t >= worth_j + prices . room_j for each walk seen
            solved = linprog(
                [*[0.0] * limits, 1.0], A_ub=planes, b_ub=heights, bounds=[*bounds, (None, None)]
            )
            if solved.x is None:
                break
            prices, lower = solved.x[:-1], float(solved.fun)
        return prices


def searchable(space: SearchSpace, *functions: Additive) -> Listed | Unrolled:
    """The space, to search it by utilities and costs with the scopes of these functions."""
    if space.size <= ENUMERATED:
        return Listed(space)
    return Unrolled(graph_for(*functions))
