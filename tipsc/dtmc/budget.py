"""The price at which the expected cost of a walk equals a budget.

E[T] falls from the highest cost of a walk to the lowest as mu goes from -inf to inf, and its
derivative -Var[T] is known exactly, so this is a root of one variable. It is solved in a variable
that is nearly straight: the logit ::

    y(mu) = log(E[T] - lowest) - log(highest - E[T]),

which is linear in mu where two costs compete, and keeps falling where E[T] itself is flat. Newton's
method does the rest, with a bracket. It is helped in two places. Before there is a bracket, a
power law through the last two slopes says how far to go, because with costs of many scales y falls
with log mu rather than mu. And between two near points the inverse cubic that has their values
and slopes is better than either tangent. Where all of them leave the bracket, it is halved, on a
scale that is logarithmic away from zero (asinh).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tipsc.dtmc.walk_chain import EdgeWeights, WalkChain
from tipsc.errors import BudgetError, TipscError

TOLERANCE = 1e-6
"""Of the budget: the largest error of the expected cost."""

MOST_EVALUATIONS = 100
"""A guard against endless loops; the tests hold the solver to ten on thousands of graphs."""

_FURTHEST = 5.0  # how many powers of e a step may go beyond the last point
_TINY = 1e-290  # stands for what is below it, so that logarithms and slopes stay finite
_NEAR = 3.0  # logits within which two points are near enough for a cubic


@dataclass(frozen=True)
class Price:
    """What :func:`price_for` found.

    Attributes:
        chain: the chain at that price.
        evaluations: how many chains were solved on the way, this one included.
    """

    chain: WalkChain
    evaluations: int

    @property
    def mu(self) -> float:
        """Negative for budgets above the mean at price 0, infinite at the ends of the range."""
        return self.chain.mu


def price_for(
    weights: EdgeWeights, budget: float, *, eta: float = 0.0, tolerance: float = TOLERANCE
) -> Price:
    """The price mu for which E[T] is the budget, to within ``tolerance * abs(budget)``.

    Args:
        budget: in the unit of the costs, between the lowest and the highest cost of a walk.
        eta: weight of a unit of utility.

    Raises:
        BudgetError: no walk costs so little, or so much; names the range.
    """
    low, high = weights.range
    slack = tolerance * abs(budget)
    if not (math.isfinite(budget) and low - slack <= budget <= high + slack):
        raise BudgetError(
            "no price gives this expected cost",
            expected=f"a budget between {low:.6g} and {high:.6g}, the range of the paths",
            got=f"{budget:.6g}",
        )
    if budget <= low or budget >= high:
        one_cost = high - low <= slack
        mu = 0.0 if one_cost else math.inf if budget <= low else -math.inf
        return Price(WalkChain(weights, mu, eta), 1)
    search = _Search(math.log(budget - low) - math.log(high - budget), high - low)
    mu = 0.0
    for evaluations in range(1, MOST_EVALUATIONS + 1):
        chain = WalkChain(weights, mu, eta)
        if abs(chain.expected_cost - budget) <= slack:
            return Price(chain, evaluations)
        mu = search.after(_point(chain, search))
    raise TipscError(
        "the price for a budget was not found",
        expected=f"at most {MOST_EVALUATIONS} evaluations",
        got=f"budget {budget!r} between {low!r} and {high!r}",
    )


@dataclass(frozen=True)
class _Point:
    """The logit's distance from its goal at a price, and its slope (never positive)."""

    mu: float
    miss: float
    slope: float

    @property
    def newton(self) -> float:
        return self.mu - self.miss / self.slope if self.slope < 0 else math.nan


def _point(chain: WalkChain, search: _Search) -> _Point:
    width = search.width
    # Each distance is taken from the nearer end, where it has all its digits.
    above = chain.excess if chain.mu >= 0 else width + chain.excess
    below = width - chain.excess if chain.mu >= 0 else -chain.excess
    above, below = max(above, _TINY), max(below, _TINY)
    miss = math.log(above) - math.log(below) - search.goal
    return _Point(chain.mu, miss, -chain.variance * (1.0 / above + 1.0 / below))


class _Search:
    """Where to look next, from the points seen so far."""

    def __init__(self, goal: float, width: float) -> None:
        self.goal = goal
        self.width = width
        self._low: _Point | None = None  # the price is too low there, the cost too high
        self._high: _Point | None = None
        self._last: _Point | None = None
        self._used: set[float] = set()  # prices whose tangent was followed already
        self._unit = 0.0  # the price from which on prices are told apart by their logarithm

    def after(self, point: _Point) -> float:
        if self._last is None:
            self._unit = 1.0 / max(-point.slope, 0.1 * self.width)
        if point.miss > 0:
            self._low = point
        else:
            self._high = point
        if self._low is None or self._high is None:
            following = self._outward(point)
        else:
            following = self._between(point, self._low, self._high)
        self._last = point
        return following

    def _outward(self, point: _Point) -> float:
        """A step towards a side where nothing was evaluated yet."""
        side = 1.0 if point.miss > 0 else -1.0
        reach = abs(point.mu) + self._unit
        step = math.inf
        if point.slope < 0:
            step = side * point.newton
            if self._last is not None and self._last.slope < 0:
                # slope ~ mu^-power, integrated up to the goal
                before = abs(self._last.mu) + self._unit
                power = -math.log(point.slope / self._last.slope) / math.log(reach / before)
                power = min(max(power, 0.0), 1.0)
                share = abs(point.miss) / (-point.slope * reach)
                rest = 1.0 - power
                growth = share if rest < 1e-3 else math.log1p(rest * share) / rest
                step = reach * math.exp(min(growth, _FURTHEST)) - self._unit
        return side * min(step, math.exp(_FURTHEST) * reach)

    def _between(self, point: _Point, low: _Point, high: _Point) -> float:
        other = low if point is high else high
        following = self._cubic(point)
        if not low.mu < following < high.mu:
            following = point.newton
            self._used.add(point.mu)
        if not low.mu < following < high.mu and other.mu not in self._used:
            following = other.newton
            self._used.add(other.mu)
        if not low.mu < following < high.mu:
            ends = math.asinh(low.mu / self._unit) + math.asinh(high.mu / self._unit)
            following = self._unit * math.sinh(ends / 2.0)
            if not low.mu < following < high.mu:  # rounding, when the ends are neighbours
                following = low.mu + (high.mu - low.mu) / 2.0
        return following

    def _cubic(self, point: _Point) -> float:
        """mu as the cubic of the miss that has the values and slopes of the last two points.

        Only where it is monotone (Fritsch and Carlson, 1980) and no far extrapolation.
        """
        last = self._last
        if last is None or not (point.slope < 0 and last.slope < 0):
            return math.nan
        gap = last.miss - point.miss
        if gap == 0 or max(abs(point.miss), abs(last.miss)) > _NEAR:
            return math.nan
        secant, t = (last.mu - point.mu) / gap, -point.miss / gap
        monotone = secant < 0 and 1.0 / point.slope > 3.0 * secant < 1.0 / last.slope
        if not (monotone and abs(t) <= 1.0):
            return math.nan
        t2, t3 = t * t, t * t * t
        return (
            (2 * t3 - 3 * t2 + 1) * point.mu
            + (t3 - 2 * t2 + t) * gap / point.slope
            + (3 * t2 - 2 * t3) * last.mu
            + (t3 - t2) * gap / last.slope
        )
