"""The chain on arrays against enumeration, limits, and an eigen-solve."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_chains import Enumerated, all_walks, random_weights

from tipsc.dtmc.best import best_walk, best_walks
from tipsc.dtmc.dag import Dag
from tipsc.dtmc.hyper import stationary_by_eigen
from tipsc.dtmc.synthetic import random_dag
from tipsc.dtmc.walk_chain import EdgeWeights, WalkChain
from tipsc.errors import DataError

EXACT = {"rtol": 1e-12, "atol": 1e-12}
seeds = st.integers(0, 2**32)
prices = st.floats(-5, 5)


@settings(deadline=None)
@given(seeds, prices, st.floats(-3, 3))
def test_everything_is_what_enumeration_gives(seed: int, mu: float, eta: float) -> None:
    weights = random_weights(np.random.default_rng(seed))
    chain, truth = WalkChain(weights, mu, eta), Enumerated(weights, mu, eta)
    by_edges = [math.exp(sum(chain.log_transition[list(walk)])) for walk in truth.walks]
    np.testing.assert_allclose(by_edges, truth.probability, **EXACT)
    np.testing.assert_allclose(chain.log_z, math.log(truth.z), **EXACT)
    np.testing.assert_allclose(chain.marginals, truth.probability @ truth.counts, **EXACT)
    np.testing.assert_allclose(chain.expected_cost, truth.mean(truth.cost), **EXACT)
    np.testing.assert_allclose(chain.expected_utility, truth.mean(truth.utility), **EXACT)
    np.testing.assert_allclose(chain.variance, truth.covariance(truth.cost, truth.cost), **EXACT)
    np.testing.assert_allclose(
        chain.covariance(weights.cost, weights.utility),
        truth.covariance(truth.cost, truth.utility),
        **EXACT,
    )
    entropy = -truth.mean(np.log(truth.probability))
    np.testing.assert_allclose(chain.entropy, entropy, **EXACT)


@settings(deadline=None)
@given(seeds, prices, st.integers(1, 40))
def test_the_best_walks_are_those_of_a_sorted_list(seed: int, mu: float, k: int) -> None:
    weights = random_weights(np.random.default_rng(seed))
    value = weights.utility - mu * weights.cost
    found = best_walks(weights.dag, value, k)
    truth = sorted((float(value[list(w)].sum()) for w in all_walks(weights.dag)), reverse=True)
    np.testing.assert_allclose([total for total, _ in found], truth[:k], **EXACT)
    assert len({walk for _, walk in found}) == len(found) == min(k, len(truth))
    for total, walk in found:
        assert total == pytest.approx(float(value[list(walk)].sum()), abs=1e-12)
        assert weights.dag.tail[walk[0]] == 0
        assert weights.dag.head[walk[-1]] == weights.dag.output
    assert best_walk(weights.dag, value)[0] == found[0][0]


@settings(deadline=None)
@given(seeds, prices)
def test_derivatives_are_those_of_small_differences(seed: int, mu: float) -> None:
    weights = random_weights(np.random.default_rng(seed))
    chain, step = WalkChain(weights, mu, 1.0), 1e-5

    def at(cost: np.ndarray, price: float) -> WalkChain:
        return WalkChain(
            EdgeWeights(weights.dag, cost, weights.utility, weights.log_base), price, 1
        )

    # Central differences: an error of about step^2 from the third derivative, and rounding.
    near = {"rtol": 1e-5, "atol": 1e-6}
    up, down = at(weights.cost, mu + step), at(weights.cost, mu - step)
    np.testing.assert_allclose((up.log_z - down.log_z) / (2 * step), chain.log_z_by_mu, **near)
    slope = (up.expected_cost - down.expected_cost) / (2 * step)
    np.testing.assert_allclose(slope, chain.expected_cost_by_mu, **near)
    for edge in range(len(weights.cost)):
        moved = step * (np.arange(len(weights.cost)) == edge)
        up, down = at(weights.cost + moved, mu), at(weights.cost - moved, mu)
        slope = (up.expected_cost - down.expected_cost) / (2 * step)
        np.testing.assert_allclose(slope, chain.expected_cost_by_cost[edge], **near)
        slope = (up.log_z - down.log_z) / (2 * step)
        np.testing.assert_allclose(slope, chain.log_z_by_cost[edge], **near)


@settings(deadline=None)
@given(seeds, prices)
def test_the_stationary_vector_is_that_of_the_chain_that_restarts(seed: int, mu: float) -> None:
    from scipy.sparse import coo_array

    weights = random_weights(np.random.default_rng(seed))
    chain, dag = WalkChain(weights, mu), weights.dag
    reached = np.flatnonzero(chain.visits)  # nodes out of reach are no states of the chain
    state = np.full(dag.nodes, -1)
    state[reached] = np.arange(len(reached))
    used = state[dag.tail] >= 0
    matrix = coo_array(
        (
            np.append(chain.transition[used], 1.0),
            (
                np.append(state[dag.tail[used]], len(reached) - 1),
                np.append(state[dag.head[used]], 0),
            ),
        ),
        shape=(len(reached), len(reached)),
    ).tocsr()
    np.testing.assert_allclose(
        chain.stationary[reached], stationary_by_eigen(matrix), rtol=1e-9, atol=1e-12
    )
    assert chain.stationary.sum() == pytest.approx(1.0, abs=1e-12)
    assert chain.visits[0] == pytest.approx(1.0) == pytest.approx(chain.visits[-1])


@given(seeds)
def test_the_expected_cost_falls_with_the_price(seed: int) -> None:
    weights = random_weights(np.random.default_rng(seed))
    prices = [-math.inf, -100.0, -1.0, 0.0, 0.5, 2.0, 1e6, math.inf]
    costs = [WalkChain(weights, mu).expected_cost for mu in prices]
    assert all(one >= other - 1e-12 for one, other in itertools.pairwise(costs))
    np.testing.assert_allclose([costs[-1], costs[0]], weights.range, **EXACT)


@given(seeds)
def test_without_weights_every_walk_is_equally_likely(seed: int) -> None:
    dag = random_dag(np.random.default_rng(seed), 7)
    chain = WalkChain(EdgeWeights(dag, np.ones(len(dag.tail))))
    walks = all_walks(dag)
    assert dag.walks == len(walks)
    assert chain.log_z == pytest.approx(math.log(len(walks)), abs=1e-12)
    assert chain.entropy == pytest.approx(math.log(len(walks)), abs=1e-12)


@settings(deadline=None)
@given(seeds, st.sampled_from([1e6, 1e18, 1e300, math.inf]), st.sampled_from([1, -1]))
def test_an_extreme_price_leaves_the_cheapest_walks(seed: int, mu: float, sign: int) -> None:
    generator = np.random.default_rng(seed)
    dag = random_dag(generator, 7)
    # Sums of tenths: equal costs that floating point does not give as equal.
    cost = generator.integers(0, 4, len(dag.tail)) * 0.1
    utility = generator.normal(0, 1, len(dag.tail))
    chain = WalkChain(EdgeWeights(dag, cost, utility), sign * mu, 1.0)
    walks = all_walks(dag)
    totals = np.array([round(sign * 10 * cost[list(walk)].sum()) for walk in walks])
    weight = np.exp([utility[list(walk)].sum() for walk in walks]) * (totals == totals.min())
    got = [math.exp(sum(chain.log_transition[list(walk)])) for walk in walks]
    np.testing.assert_allclose(got, weight / weight.sum(), **EXACT)
    for figure in (chain.expected_cost, chain.variance, chain.entropy, *chain.stationary):
        assert math.isfinite(figure)
    assert not math.isnan(chain.log_z)


def test_weights_that_would_underflow_or_overflow_do_not() -> None:
    dag = Dag(3, [0, 0, 1, 1], [1, 1, 2, 2])
    chain = WalkChain(EdgeWeights(dag, [1e5, 1e5 + 1, 0, 1e5]), 1.0)
    assert chain.log_z == pytest.approx(-1e5 + math.log1p(math.exp(-1)))
    np.testing.assert_allclose(chain.transition[:2], [1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dag(3, [0, 1], [1]), "no graph"),
        (lambda: Dag(3, [0, 1], [1, 1]), "does not lead forward"),
        (lambda: Dag(3, [0, 0], [1, 2]), "no edge leaves node 1"),
        (lambda: EdgeWeights(Dag(2, [0], [1]), [math.nan]), "not finite"),
        (lambda: EdgeWeights(Dag(2, [0], [1]), [1.0, 2.0]), "1 finite numbers"),
        (lambda: WalkChain(EdgeWeights(Dag(2, [0], [1]), [1.0]), math.nan), "no prices"),
        (lambda: best_walks(Dag(2, [0], [1]), [1.0], 0), "so few walks"),
    ],
)
def test_what_is_no_chain_is_refused(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]
