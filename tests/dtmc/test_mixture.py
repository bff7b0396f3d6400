"""The sampler that mixes budgets and devices."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from small_chains import fit_of_draws
from toy import toy_space

from tipsc.dtmc.mixture import FoldedMixture, Spread
from tipsc.errors import DataError
from tipsc.factors import Additive, Factor

SPACE = toy_space(stages=1)


def device(seed: int, space=SPACE) -> Additive:
    generator = np.random.default_rng(seed)
    factors = [Factor((c.name,), generator.random(len(c.options))) for c in space.choices]
    return Additive(space, 1.0, tuple(factors))


def coupled(seed: int) -> Additive:
    pair = Factor(("s0.b0.width", "s0.b2.width"), np.random.default_rng(seed).random((3, 3)))
    return device(seed) + Additive(SPACE, 0.0, (pair,))


def test_its_probabilities_are_those_of_its_chains() -> None:
    mixture = FoldedMixture.of([device(0), coupled(1)], device_weights=[1.0, 3.0])
    paths = list(SPACE.enumerate())
    stated = np.exp([mixture.log_probability(path) for path in paths])
    assert stated.sum() == pytest.approx(1.0, abs=1e-12)
    by_hand = np.zeros(len(paths))
    for number, chain in enumerate(mixture.chains):
        weight = (0.25 if number < 7 else 0.75) / 7
        by_hand += weight * np.array([chain.probability(path) for path in paths])
    np.testing.assert_allclose(stated, by_hand, rtol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 4, 20])
def test_paths_are_drawn_as_often_as_they_should(count: int) -> None:
    mixture = FoldedMixture.of([device(0), device(1)], spread=Spread(3))
    generator = random.Random(0)
    draws = 20_000 // count
    # The first of each draw, not all of them: those of one draw are not independent.
    seen = Counter(mixture.draw(generator, count)[0] for _ in range(draws))
    paths = list(SPACE.enumerate())
    chances = np.exp([mixture.log_probability(path) for path in paths])
    # The seed is fixed: this fails for a wrong distribution, not once in many runs.
    assert fit_of_draws(seen, paths, chances) > 1e-4


def test_the_paths_of_a_step_come_from_different_budgets() -> None:
    mixture = FoldedMixture.of([device(0)], spread=Spread(4, between=(0.0, 1.0)))
    cheapest = mixture.chains[0].cheapest()[0][1]
    dearest = mixture.chains[0].at(mu=-1.0).best()[0][1]
    for seed in range(20):
        paths = mixture.draw(random.Random(seed), 4)
        assert cheapest in paths  # a chain at the lowest budget gives nothing else
        assert dearest in paths
    assert mixture.draw(random.Random(0), 0) == []


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_budgets_are_spread_over_what_paths_cost(scale: str) -> None:
    mixture = FoldedMixture.of([device(0)], spread=Spread(5, scale, (0.1, 0.9)))
    low, high = mixture.chains[0].cost_range
    budgets = np.array([chain.expected_cost for chain in mixture.chains])
    steps = np.diff(np.log(budgets) if scale == "log" else budgets)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4)
    if scale == "linear":
        np.testing.assert_allclose((budgets - low) / (high - low), [0.1, 0.3, 0.5, 0.7, 0.9], 1e-4)


def test_new_costs_give_the_mixture_that_they_would_have_given() -> None:
    first = FoldedMixture.of([device(0), device(1)], base="paths", device_weights=[1.0, 2.0])
    for costs in ([device(2), device(3)], [coupled(2), device(3)]):
        again = first.refolded(costs)
        fresh = FoldedMixture.of(costs, base="paths", device_weights=[1.0, 2.0])
        for path in list(SPACE.enumerate())[::7]:
            assert again.log_probability(path) == pytest.approx(fresh.log_probability(path))
    assert first.refolded([device(2), device(3)]).chains[0].graph is first.chains[0].graph


def test_the_same_generator_draws_the_same_paths() -> None:
    mixture = FoldedMixture.of([device(0)])
    assert mixture.draw(random.Random(5), 9) == mixture.draw(random.Random(5), 9)


def test_utility_tilts_what_is_drawn_at_a_budget() -> None:
    utility = device(7)
    spread = Spread(1, "linear")
    plain = FoldedMixture.of([device(0)], spread=spread, utility=utility)
    tilted = FoldedMixture.of([device(0)], spread=spread, utility=utility, eta=5.0)
    assert tilted.chains[0].expected_cost == pytest.approx(plain.chains[0].expected_cost, rel=1e-5)
    assert tilted.chains[0].chain.expected_utility > plain.chains[0].chain.expected_utility


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FoldedMixture.of([]), "at least one device"),
        (lambda: FoldedMixture.of([device(0)], device_weights=[1, 2]), "1 positive numbers"),
        (lambda: Spread(0), "no budgets"),
        (lambda: Spread(between=(0.9, 0.1)), "first share <= last share"),
        (lambda: FoldedMixture.of([device(0) - 100.0]), "use the linear scale"),
        (lambda: FoldedMixture.of([device(0), device(0, toy_space())]), "another search space"),
    ],
)
def test_what_is_no_mixture_is_refused(make, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_no_probability_is_left_out_or_infinite() -> None:
    mixture = FoldedMixture.of([device(0)], spread=Spread(2, between=(0.0, 0.0)))
    dearest = mixture.chains[0].at(mu=-1.0).best()[0][1]
    assert mixture.log_probability(dearest) == -math.inf


def test_thrift_gives_each_budget_the_same_compute() -> None:
    spread = Spread(5, thrift=1.0)
    mixture = FoldedMixture.of([device(0)], spread=spread)
    compute = [w * c.expected_cost for w, c in zip(mixture.weights, mixture.chains, strict=True)]
    assert compute == pytest.approx([compute[0]] * 5, rel=1e-5)  # budgets are met to 1e-6
    assert sum(mixture.weights) == pytest.approx(1.0, abs=1e-12)
    again = mixture.refolded([device(0)])
    assert again.weights == mixture.weights
