"""The price for a budget: found, exact, and in at most ten evaluations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipsc.dtmc.budget import price_for
from tipsc.dtmc.dag import Dag
from tipsc.dtmc.synthetic import random_edge_weights
from tipsc.dtmc.walk_chain import EdgeWeights, WalkChain
from tipsc.errors import BudgetError

EVALUATIONS = 10


def costed(seed: int) -> EdgeWeights:
    return random_edge_weights(np.random.default_rng(seed))


# Always the same examples: that ten are enough is measured (docs/chain.md), not a theorem.
@settings(deadline=None, max_examples=400, derandomize=True)
@given(
    st.integers(0, 2**32),
    st.floats(1e-4, 1 - 1e-4),
    st.sampled_from([0.0, 0.0, 1.0]),
)
def test_ten_evaluations_are_enough(seed: int, share: float, eta: float) -> None:
    weights = costed(seed)
    low, high = weights.range
    budget = low + share * (high - low)
    price = price_for(weights, budget, eta=eta)
    assert abs(price.chain.expected_cost - budget) <= 1e-6 * abs(budget)
    assert price.evaluations <= EVALUATIONS
    again = WalkChain(weights, price.mu, eta)
    assert again.expected_cost == price.chain.expected_cost


def test_ten_evaluations_are_enough_for_thousands_of_budgets() -> None:
    shares = (0.001, 0.02, 0.3, 0.7, 0.999)
    used = []
    for seed in range(400):
        weights = costed(seed)
        low, high = weights.range
        for share in shares:
            budget = low + share * (high - low)
            price = price_for(weights, budget)
            assert abs(price.chain.expected_cost - budget) <= 1e-6 * abs(budget)
            used.append(price.evaluations)
    assert len(used) == 2000
    assert max(used) <= EVALUATIONS


def test_ten_evaluations_are_enough_for_costs_of_many_scales() -> None:
    """Where the curve bends most; tangents alone, without the cubic between them, take more."""
    generator, used = np.random.default_rng(5), []
    for number in range(1500):
        count, scales = int(generator.integers(2, 40)), generator.uniform(0, 8)
        costs = 10 ** generator.uniform(-scales, scales, count)
        if number % 3 == 0:  # and many that are nearly the least, or nearly the most
            ends = costs.min() * (1 + 1e-6), costs.max() * (1 - 1e-6)
            costs = np.concatenate([costs, np.repeat(ends, count)])
        weights = EdgeWeights(Dag(2, [0] * len(costs), [1] * len(costs)), costs)
        low, high = weights.range
        share = 1 / (1 + math.exp(-generator.uniform(-12, 12)))
        used.append(price_for(weights, low + share * (high - low)).evaluations)
    assert max(used) <= EVALUATIONS


def test_a_price_is_negative_above_the_mean_and_infinite_at_the_ends() -> None:
    weights = EdgeWeights(Dag(2, [0, 0], [1, 1]), [1.0, 3.0])
    assert price_for(weights, 1.5).mu == pytest.approx(math.log(3) / 2, rel=1e-5)
    assert price_for(weights, 2.5).mu == pytest.approx(-math.log(3) / 2, rel=1e-5)
    assert price_for(weights, 2.0).mu == 0.0
    assert price_for(weights, 1.0).mu == math.inf
    assert price_for(weights, 3.0).mu == -math.inf


def test_where_all_paths_cost_the_same_any_price_does() -> None:
    weights = EdgeWeights(Dag(2, [0, 0], [1, 1]), [2.0, 2.0])
    price = price_for(weights, 2.0)
    assert (price.mu, price.evaluations) == (0.0, 1)


@pytest.mark.parametrize("budget", [0.9, 3.1, math.inf, math.nan])
def test_an_impossible_budget_is_refused_with_the_range(budget: float) -> None:
    weights = EdgeWeights(Dag(2, [0, 0], [1, 1]), [1.0, 3.0])
    with pytest.raises(BudgetError, match="between 1 and 3"):
        price_for(weights, budget)
