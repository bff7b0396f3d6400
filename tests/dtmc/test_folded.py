"""The cost-folded chain of a search space against the enumeration of its paths."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import problems, spaces
from small_chains import fit_of_draws
from toy import toy_space

from tipsc.dtmc.choice_graph import choice_graph
from tipsc.dtmc.folded import FoldedChain, graph_for
from tipsc.errors import BudgetError, DataError
from tipsc.factors import Additive, Factor, unary
from tipsc.paths import Choice, SearchSpace

EXACT = {"rtol": 1e-12, "atol": 1e-12}
ALPHA = 1e-4  # the seeds are fixed: a wrong distribution fails, not one run in ten thousand


def stage_cost(space: SearchSpace) -> Additive:
    """Each option costs its place, and the widths of neighbouring blocks depend on each other."""
    generator = np.random.default_rng(0)
    names = [choice.name for choice in space.choices]
    factors = [Factor((n,), generator.random(len(space[n].options))) for n in names]
    factors += [
        Factor((one, two), generator.random((3, 3)))
        for one, two in itertools.pairwise(names)
        if one.endswith("width") and two.endswith("width")
    ]
    return Additive(space, 0.5, tuple(factors))


def by_options(space, path):
    return math.prod(
        1 / len(c.options) for c in space.choices if space.is_active(c.name, path.options)
    )


@settings(deadline=None)
@given(problems())
def test_walks_are_the_distinct_paths(problem) -> None:
    space, cost, utility = problem
    graph = graph_for(cost, utility)
    assert graph.dag.walks == space.size
    values = graph.edge_values(cost)
    for path in space.enumerate():
        walk = graph.walk(path)
        assert graph.path(walk) == path
        assert values[walk].sum() == pytest.approx(cost.of(path), abs=1e-12)


@settings(deadline=None)
@given(problems(), st.floats(-3, 3), st.floats(-2, 2), st.sampled_from(["options", "paths"]))
def test_paths_have_the_probability_that_is_promised(problem, mu, eta, base) -> None:
    space, cost, utility = problem
    chain = FoldedChain.of(cost, utility, mu=mu, eta=eta, base=base)
    paths = list(space.enumerate())
    weight = np.array(
        [
            (by_options(space, p) if base == "options" else 1.0)
            * math.exp(eta * utility.of(p) - mu * cost.of(p))
            for p in paths
        ]
    )
    expected = weight / weight.sum()
    np.testing.assert_allclose([chain.probability(p) for p in paths], expected, **EXACT)
    assert chain.expected_cost == pytest.approx(expected @ cost.of_many(paths), abs=1e-11)
    marginals = chain.option_marginals()
    for choice in space.choices:
        for option in choice.options:
            share = sum(
                q
                for q, p in zip(expected, paths, strict=True)
                if p[choice.name] == option and space.is_active(choice.name, p.options)
            )
            assert marginals[choice.name][option] == pytest.approx(share, abs=1e-12)
    scores = chain.tas()
    assert sum(scores.values()) == pytest.approx(1.0, abs=1e-12)
    for path in paths[:5]:
        nodes = [chain.graph.names[chain.graph.dag.tail[e]] for e in chain.graph.walk(path)]
        expected_tps = sum(scores[name] for name in nodes) + scores["output"]
        assert chain.tps(path) == pytest.approx(expected_tps, abs=1e-12)


@settings(deadline=None)
@given(problems(), st.integers(1, 12))
def test_the_best_paths(problem, k) -> None:
    space, cost, utility = problem
    chain = FoldedChain.of(cost, utility, mu=0.7, eta=1.3)
    values = sorted(1.3 * utility.of(p) - 0.7 * cost.of(p) for p in space.enumerate())[::-1]
    best = chain.best(k)
    assert len({path for _, path in best}) == len(best) == min(k, space.size)
    np.testing.assert_allclose([v for v, _ in best], values[:k], rtol=1e-12, atol=1e-12)
    costs = sorted(cost.of(p) for p in space.enumerate())
    np.testing.assert_allclose([c for c, _ in chain.cheapest(k)], costs[:k], **EXACT)
    assert chain.cost_range == pytest.approx((costs[0], costs[-1]), abs=1e-12)


@given(spaces())
def test_names_of_decisions_are_distinct(space) -> None:
    names = choice_graph(space).names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("base", ["options", "paths"])
def test_without_a_price_it_is_the_samplers_of_the_space(base) -> None:
    space = toy_space()
    chain = FoldedChain.of(stage_cost(space), base=base)
    for path in list(space.enumerate())[::29]:
        expected = by_options(space, path) if base == "options" else 1 / space.size
        assert chain.probability(path) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("mu", [-math.inf, -1.0, 0.0, 1.5, math.inf])
@pytest.mark.parametrize("how", ["one", "many"])
def test_paths_are_drawn_as_often_as_they_should(how, mu) -> None:
    space = toy_space(stages=1)
    chain = FoldedChain.of(stage_cost(space), mu=mu)
    draws = 20_000
    if how == "one":
        generator = random.Random(1)
        seen = Counter(chain.sample(generator) for _ in range(draws))
    else:
        seen = Counter(chain.sample_many(np.random.default_rng(1), draws))
    paths = list(space.enumerate())
    chances = [chain.probability(path) for path in paths]
    assert fit_of_draws(seen, paths, chances) > ALPHA


def test_a_budget_is_met_on_average() -> None:
    chain = FoldedChain.of(stage_cost(toy_space()), budget=4.0)
    assert chain.expected_cost == pytest.approx(4.0, rel=1e-6)
    costs = [chain.at_budget(budget).mu for budget in (3.0, 4.0, 5.0)]
    assert costs == sorted(costs, reverse=True)
    with pytest.raises(BudgetError, match=r"between .* the range of the paths"):
        chain.at_budget(1e9)


def test_a_price_in_between_is_an_independent_softmax_where_nothing_is_coupled() -> None:
    """What the chain is not: on additive costs without gates its choices are independent."""
    space = SearchSpace((Choice("a", (1, 2, 3)), Choice("b", (1, 2))))
    cost = unary(space, {"a": [1.0, 2.0, 4.0], "b": [0.5, 3.0]})
    marginals = FoldedChain.of(cost, mu=0.8).option_marginals()
    for name, values in (("a", [1.0, 2.0, 4.0]), ("b", [0.5, 3.0])):
        weight = np.exp(-0.8 * np.array(values))
        np.testing.assert_allclose(list(marginals[name].values()), weight / weight.sum(), **EXACT)


def test_the_state_remembers_no_more_than_it_must() -> None:
    space = toy_space(stages=2, blocks=3)
    # The depth matters only as far as it switches later blocks on: the blocks of a stage are
    # decided in 3, 2 and 1 states, and the next stage begins with nothing remembered.
    assert len(choice_graph(space).choice) == 1 + 2 * (3 + 3 * 3 + 2 * 3 + 1 * 3)
    blocks = SearchSpace(tuple(Choice(f"w{i}", (1, 2, 3)) for i in range(20)))
    chained = [(f"w{i}", f"w{i + 1}") for i in range(19)]
    assert len(choice_graph(blocks, chained).choice) == 1 + 3 + 19 * 9


def test_too_much_coupling_is_refused_with_its_choices() -> None:
    space = SearchSpace(tuple(Choice(f"w{i}", tuple(range(1, 9))) for i in range(12)))
    scopes = [(f"w{i}", f"w{11 - i}") for i in range(6)]
    with pytest.raises(DataError, match=r"must be remembered together: w0, w1, w2"):
        choice_graph(space, scopes, most_edges=10_000)
    with pytest.raises(DataError, match="not made for this factor"):
        choice_graph(space).edge_values(
            Additive(space, 0.0, (Factor(("w0", "w2"), np.zeros((8, 8))),))
        )


def test_a_space_without_choices_has_one_path() -> None:
    space = SearchSpace(())
    chain = FoldedChain.of(Additive(space, 3.0))
    assert chain.sample(random.Random(0)) == space.smallest
    assert (chain.expected_cost, chain.probability(space.smallest)) == (3.0, 1.0)
