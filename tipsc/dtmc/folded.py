"""The cost-folded chain of a search space: measured costs as the weights of a Markov chain.

It draws a path with probability exactly proportional to ::

    q(path) * exp(eta * utility(path) - mu * cost(path)),

cost and utility being :class:`~tipsc.factors.Additive`. One object is the sampler of training,
the score (cost-folded TAS) and the search (the k best paths under a price). The chain itself is
:class:`~tipsc.dtmc.walk_chain.WalkChain`; this module speaks of paths. ``docs/chain.md`` says what
it can carry and what not.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tipsc.dtmc.best import best_walks
from tipsc.dtmc.budget import price_for
from tipsc.dtmc.choice_graph import ChoiceGraph, choice_graph
from tipsc.dtmc.walk_chain import EdgeWeights, WalkChain
from tipsc.errors import DataError
from tipsc.factors import Additive
from tipsc.paths import Path

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Base: TypeAlias = Literal["options", "paths"]
"""What mu = 0 and eta = 0 give: each active choice uniform over its options, as the literature on
supernets samples; or every distinct path with the same probability."""


def edge_weights(
    graph: ChoiceGraph, cost: Additive, utility: Additive | None = None, base: Base = "options"
) -> EdgeWeights:
    """Cost, utility and base measure on the operations of a space."""
    if base not in ("options", "paths"):
        raise DataError("no such base measure", expected="options or paths", got=base)
    edges = len(graph.choice)
    return EdgeWeights(
        graph.dag,
        graph.edge_values(cost),
        np.zeros(edges) if utility is None else graph.edge_values(utility),
        graph.log_options() if base == "options" else np.zeros(edges),
    )


@dataclass(frozen=True, eq=False)
class FoldedChain:
    """A cost-folded chain; make it with :meth:`of`.

    Args:
        graph: the unrolled search space.
        chain: the chain over its edges: log Z, stationary distribution, moments, gradients.
    """

    graph: ChoiceGraph
    chain: WalkChain

    @classmethod
    def of(
        cls,
        cost: Additive,
        utility: Additive | None = None,
        *,
        mu: float = 0.0,
        eta: float = 0.0,
        budget: float | None = None,
        base: Base = "options",
        graph: ChoiceGraph | None = None,
    ) -> FoldedChain:
        """Fold costs, and a utility if there is one, into the chain of their search space.

        Args:
            cost: of a path, in any unit.
            utility: of a path, of the same space.
            mu: price of a unit of cost, perhaps negative or infinite.
            eta: weight of a unit of utility.
            budget: if given, mu is solved so that the expected cost is this, and `mu` not read.
            base: the distribution without any weight.
            graph: to reuse, if it was made for the scopes of cost and utility.

        Raises:
            DataError: too strongly coupled factors, or functions of different spaces.
            BudgetError: a budget outside the costs of the paths.
        """
        graph = graph or graph_for(cost, *([] if utility is None else [utility]))
        weights = edge_weights(graph, cost, utility, base)
        if budget is not None:
            return cls(graph, price_for(weights, budget, eta=eta).chain)
        return cls(graph, WalkChain(weights, mu, eta))

    def at(self, *, mu: float) -> FoldedChain:
        """The same costs at another price."""
        return FoldedChain(self.graph, WalkChain(self.chain.weights, mu, self.chain.eta))

    def at_budget(self, budget: float) -> FoldedChain:
        """The same costs at the price whose expected cost is `budget`."""
        price = price_for(self.chain.weights, budget, eta=self.chain.eta)
        return FoldedChain(self.graph, price.chain)

    @property
    def mu(self) -> float:
        """Price of a unit of cost."""
        return self.chain.mu

    @property
    def cost_range(self) -> tuple[float, float]:
        """Costs of the cheapest and of the dearest path."""
        return self.chain.weights.range

    @property
    def expected_cost(self) -> float:
        """Of a path that is drawn."""
        return self.chain.expected_cost

    def log_probability(self, path: Path) -> float:
        """Natural logarithm of the probability of drawing `path`; -inf if it never is."""
        return math.fsum(self._log_transition[edge] for edge in self.graph.walk(path))

    def probability(self, path: Path) -> float:
        """Of drawing `path`."""
        return math.exp(self.log_probability(path))

    def tps(self, path: Path) -> float:
        """Topological path score under the chain: the sum of cost-folded TAS along the path."""
        walk = self.graph.walk(path)
        scores = self.chain.stationary
        return math.fsum(scores[self.graph.dag.tail[walk]]) + float(scores[-1])

    def tas(self) -> dict[str, float]:
        """Cost-folded TAS: node name to its share of the time of the chain that restarts."""
        return dict(zip(self.graph.names, self.chain.stationary.tolist(), strict=True))

    def option_marginals(self) -> dict[str, dict[int, float]]:
        """Choice to option to the probability that the choice is active and takes it.

        This is the expected number of visits of an operation. The options of a choice sum to the
        probability that it is active.
        """
        result = {c.name: dict.fromkeys(c.options, 0.0) for c in self.graph.space.choices}
        for (name, option), share in zip(self._labels, self.chain.marginals.tolist(), strict=True):
            if name:
                result[name][option] += share
        return result

    def sample(self, generator: random.Random) -> Path:
        """One path, drawn exactly."""
        graph, bounds = self.graph, self._bounds
        items, walk_items = list(graph.space.smallest.items), graph.items
        heads, first, chance = graph.heads, graph.first_edge, generator.random
        node, output = heads[0], graph.dag.output
        while node != output:
            edge = first[node] + bisect_right(bounds[node], chance())
            at, item = walk_items[edge]
            items[at] = item
            node = heads[edge]
        return Path(tuple(items))

    def sample_walks(self, generator: np.random.Generator, count: int) -> Integers:
        """(count, steps) the edges of `count` walks, drawn at once; -1 after the output.

        Thresholds are rounded to 2^-52 of the number of nodes: 2e-11 for 10^5.
        """
        tail, head, output = self.graph.dag.tail, self.graph.dag.head, self.graph.dag.output
        cumulative = self._cumulative + tail
        last = np.array(self._last_taken)
        node = np.zeros(count, dtype=np.int64)
        steps = []
        while (going := node != output).any():
            at = node[going]
            found = np.searchsorted(cumulative, at + generator.random(len(at)), side="right")
            edge = np.full(count, -1)
            edge[going] = np.minimum(found, last[at])
            steps.append(edge)
            node[going] = head[edge[going]]
        return np.stack(steps, axis=1)

    def sample_many(self, generator: np.random.Generator, count: int) -> list[Path]:
        """`count` paths, drawn at once."""
        return [self.graph.path(walk) for walk in self.sample_walks(generator, count).tolist()]

    def best(self, k: int = 1) -> list[tuple[float, Path]]:
        """The `k` best paths by eta * utility - mu * cost, and that value, best first.

        Without a utility and at mu = inf they are the cheapest paths, by minus their cost; at
        -inf the dearest.
        """
        weights = self.chain.weights
        if math.isinf(self.mu):
            value = -math.copysign(1.0, self.mu) * weights.cost
        else:
            value = self.chain.eta * weights.utility - self.mu * weights.cost
        return [(total, self.graph.path(w)) for total, w in best_walks(self.graph.dag, value, k)]

    def cheapest(self, k: int = 1) -> list[tuple[float, Path]]:
        """The `k` cheapest paths and their costs, cheapest first."""
        found = best_walks(self.graph.dag, -self.chain.weights.cost, k)
        return [(-total, self.graph.path(walk)) for total, walk in found]

    @property
    def _labels(self) -> list[tuple[str, int]]:
        return [item for _, item in self.graph.items]

    @cached_property
    def _log_transition(self) -> list[float]:
        return self.chain.log_transition.tolist()

    @cached_property
    def _last_taken(self) -> list[int]:
        """For each node its last edge of positive probability; 0 for the output."""
        last = np.zeros(self.graph.dag.nodes, dtype=np.int64)
        taken = np.flatnonzero(self.chain.transition > 0)
        last[self.graph.dag.tail[taken]] = taken  # the last assignment stays
        return last.tolist()

    @cached_property
    def _cumulative(self) -> Floats:
        """(E,) sums of the probabilities of a node's edges; 1 from its last possible edge on."""
        transition, tail = self.chain.transition, self.graph.dag.tail
        total = np.cumsum(transition)
        begin = np.array(self.graph.first_edge)[tail]
        sums = total - (total[begin] - transition[begin])
        sums[np.arange(len(tail)) >= np.array(self._last_taken)[tail]] = 1.0
        return np.clip(sums, 0.0, 1.0)

    @cached_property
    def _bounds(self) -> list[list[float]]:
        first = self.graph.first_edge
        transition = self.chain.transition.tolist()
        bounds = []
        for node, last in enumerate(self._last_taken):
            total, inner = 0.0, []
            for probability in transition[first[node] : last]:
                total += probability
                inner.append(total)
            bounds.append(inner)  # beyond them all: the last edge that is possible
        return bounds


def graph_for(*functions: Additive) -> ChoiceGraph:
    """The unrolled space on whose edges all these functions can be placed."""
    scopes = {scope for function in functions for scope in function.scopes if len(scope) > 1}
    return choice_graph(functions[0].space, sorted(scopes))
