"""The cost-folded chain over any directed acyclic graph, on plain arrays.

Each edge e has a measured cost t(e), a utility u(e) and a base weight q(e), and the weight ::

    w(e) = q(e) * exp(eta * u(e) - mu * t(e)).

With the backward partition function Z(output) = 1, Z(v) = sum_e w(e) Z(head(e)), the transition
probability w(e) Z(head(e)) / Z(v) draws a walk with probability exactly proportional to the
product of its weights: q(walk) * exp(eta * U(walk) - mu * T(walk)). Everything below is one or two
sweeps over the edges. The recursion is the sum-product algorithm on a DAG, as in linear-chain
conditional random fields (Lafferty, McCallum and Pereira, 2001) and in maximum-entropy random
walks with a cost (Saerens et al., randomised shortest paths, 2009).

Costs enter as *reduced costs*: t(e) + D(head) - D(tail), with D(v) the cheapest way from v to the
output (the dearest, for mu < 0). That takes the same amount off every walk, so that no probability
changes; but the cheapest walk then costs exactly 0, and neither a large mu nor an infinite one
loses a digit. mu = inf leaves the cheapest walks, by their base weight and utility.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipsc.dtmc.dag import Dag
from tipsc.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TIE = 1e-12
"""Costs of walks that differ by less than this share of the largest are equal."""


@dataclass(frozen=True, eq=False)
class EdgeWeights:
    """A graph with what its edges cost and are worth; the price comes later.

    Args:
        dag: the graph, E edges.
        cost: (E,) t, for example in milliseconds; any finite numbers.
        utility: (E,) u; default 0.
        log_base: (E,) log q; default 0, which gives every walk the same base weight.

    Raises:
        DataError: an array of another shape, or not finite.
    """

    dag: Dag
    cost: Floats
    utility: Floats = field(default_factory=lambda: np.zeros(0))
    log_base: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        for name in ("cost", "utility", "log_base"):
            given = getattr(self, name)
            values = np.zeros(len(self.dag.tail)) if name != "cost" and not len(given) else given
            object.__setattr__(self, name, self.dag.edge_array(name.replace("_", " "), values))

    @cached_property
    def _cheapest(self) -> tuple[float, Floats]:
        """The lowest cost of a walk, and (E,) what each edge costs above the best choice."""
        ahead = -self.dag.best(-self.cost)
        return float(ahead[0]), self._reduced(ahead)

    @cached_property
    def _dearest(self) -> tuple[float, Floats]:
        """The highest cost of a walk, and (E,) reduced costs, none positive."""
        ahead = self.dag.best(self.cost)
        return float(ahead[0]), self._reduced(ahead)

    def _reduced(self, ahead: Floats) -> Floats:
        reduced = self.cost + ahead[self.dag.head] - ahead[self.dag.tail]
        scale = max(float(np.abs(ahead).max()), float(np.abs(self.cost).max()))
        reduced[np.abs(reduced) <= TIE * scale] = 0.0
        return reduced

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest cost of a walk."""
        return self._cheapest[0], self._dearest[0]

    def reference(self, mu: float) -> tuple[float, Floats]:
        """The walk cost that reduced costs are counted from at this price, and (E,) those."""
        return self._cheapest if mu >= 0 else self._dearest


@dataclass(frozen=True, eq=False)
class WalkChain:
    """The chain at one price.

    Args:
        weights: graph, costs, utilities, base.
        mu: price of a unit of cost; may be negative (long walks preferred) or infinite.
        eta: weight of a unit of utility; finite.
    """

    weights: EdgeWeights
    mu: float = 0.0
    eta: float = 0.0

    def __post_init__(self) -> None:
        if math.isnan(self.mu) or not math.isfinite(self.eta):
            raise DataError(
                "these are no prices",
                expected="a number mu, perhaps infinite, and a finite eta",
                got=f"mu {self.mu}, eta {self.eta}",
            )

    @property
    def dag(self) -> Dag:
        return self.weights.dag

    @cached_property
    def _solved(self) -> tuple[Floats, Floats]:
        """(N,) log Z of the reduced weights, and (E,) transition probabilities."""
        _, reduced = self.weights.reference(self.mu)
        log_weight = self.weights.log_base + self.eta * self.weights.utility
        if math.isinf(self.mu):
            log_weight = np.where(reduced == 0.0, log_weight, -np.inf)
        else:
            log_weight = log_weight - self.mu * reduced
        return self.dag.log_sums(log_weight)

    @cached_property
    def log_z(self) -> float:
        """log Z(input); infinite if mu is, unless the walk it leaves costs nothing."""
        origin, _ = self.weights.reference(self.mu)
        return float(self._solved[0][0]) - (self.mu * origin if origin else 0.0)

    @property
    def transition(self) -> Floats:
        """(E,) the probability of each edge once its tail is reached."""
        return self._solved[1]

    @cached_property
    def visits(self) -> Floats:
        """(N,) expected visits of each node by a walk: the probability that it is visited."""
        source = np.zeros(self.dag.nodes)
        source[0] = 1.0
        return self.dag.flow(self.transition, source)

    @cached_property
    def stationary(self) -> Floats:
        """(N,) the cost-folded TAS: stationary distribution of the chain that restarts.

        From the output the chain goes back to the input, so that by the renewal theorem each
        node's share of the time is its expected visits over those of all nodes.
        """
        return self.visits / self.visits.sum()

    @cached_property
    def marginals(self) -> Floats:
        """(E,) the probability that a walk takes each edge."""
        return self.visits[self.dag.tail] * self.transition

    @cached_property
    def excess(self) -> float:
        """Expected cost above the cheapest walk (for mu < 0: above the dearest, not positive).

        It keeps all its digits where :attr:`expected_cost` is within rounding of the end.
        """
        return float(self.dag.to_go(self.transition, self.weights.reference(self.mu)[1])[0])

    @property
    def expected_cost(self) -> float:
        """E[T], the expected cost of a walk."""
        return self.weights.reference(self.mu)[0] + self.excess

    @property
    def expected_utility(self) -> float:
        """E[U], the expected utility of a walk."""
        return self.expectation(self.weights.utility)

    def expectation(self, values: ArrayLike) -> float:
        """The expected sum of `values` (E,) along a walk."""
        return float(self.marginals @ self.dag.edge_array("value", values))

    @cached_property
    def variance(self) -> float:
        """Var[T], the variance of the cost of a walk."""
        surprise = self._surprise(self.weights.reference(self.mu)[1])
        return float(self.marginals @ surprise**2)

    def covariance(self, first: ArrayLike, second: ArrayLike) -> float:
        """Covariance of the sums of two kinds of edge values (E,) along a walk.

        By the law of total covariance it is the sum, over the edges, of the products of what each
        step adds to the expectation: a sum that loses no digits to cancellation.
        """
        one = self._surprise(self.dag.edge_array("value", first))
        two = self._surprise(self.dag.edge_array("value", second))
        return float(self.marginals @ (one * two))

    def _surprise(self, values: Floats) -> Floats:
        """(E,) by how much taking an edge changes the expected sum of values."""
        ahead = self.dag.to_go(self.transition, values)
        return values + ahead[self.dag.head] - ahead[self.dag.tail]

    @cached_property
    def entropy(self) -> float:
        """Entropy of the distribution over walks, in nats."""
        taken = self.transition > 0
        return float(-(self.marginals[taken] @ np.log(self.transition[taken])))

    @property
    def log_z_by_mu(self) -> float:
        """d log Z / d mu = -E[T]."""
        return -self.expected_cost

    @property
    def expected_cost_by_mu(self) -> float:
        """d E[T] / d mu = -Var[T]."""
        return -self.variance

    @property
    def log_z_by_cost(self) -> Floats:
        """(E,) d log Z / d t(e) = -mu * marginal(e)."""
        return -self.mu * self.marginals

    @cached_property
    def expected_cost_by_cost(self) -> Floats:
        """(E,) d E[T] / d t(e) = P(e) - mu * P(e) * (E[T | e taken] - E[T]); mu finite."""
        if math.isinf(self.mu):
            raise DataError("the gradient has a jump at an infinite price", fix="give a finite mu")
        _, cost = self.weights.reference(self.mu)
        tail, head = self.dag.tail, self.dag.head
        ahead = self.dag.to_go(self.transition, cost)
        # Expected cost so far, times the probability of being there.
        arriving = np.bincount(head, self.marginals * cost, self.dag.nodes)
        source = np.asarray(arriving, dtype=np.float64)
        behind = self.dag.flow(self.transition, source)
        through = behind[tail] * self.transition + self.marginals * (cost + ahead[head])
        return self.marginals - self.mu * (through - self.marginals * ahead[0])

    @cached_property
    def log_transition(self) -> Floats:
        """(E,) natural logarithms of the transition probabilities, -inf for 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.transition)
