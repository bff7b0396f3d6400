"""Functions of a path that are sums of tables."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_spaces import problems, spaces

from tipsc.errors import DataError, PathError
from tipsc.factors import Additive, Factor, linear_cost, option_numbers, unary
from tipsc.paths import Choice, SearchSpace

SPACE = SearchSpace(
    (Choice("depth", (1, 2)), Choice("a", (4, 8, 16)), Choice("b", (4, 8), "depth", 2))
)


def by_definition(function: Additive, path) -> float:
    total = function.constant
    for factor in function.factors:
        if all(function.space.is_active(name, path.options) for name in factor.choices):
            places = (function.space[name].options.index(path[name]) for name in factor.choices)
            total += factor.table[tuple(places)]
    return total


@given(problems())
def test_a_sum_is_what_its_definition_says(problem) -> None:
    space, one, two = problem
    paths = list(space.enumerate())
    np.testing.assert_allclose(
        one.of_many(paths), [by_definition(one, p) for p in paths], rtol=1e-12, atol=1e-12
    )
    assert [one.of(path) for path in paths] == one.of_many(paths).tolist()
    mixed = 2.0 * one - two * 0.5 + 3.0
    expected = 2.0 * one.of_many(paths) - 0.5 * two.of_many(paths) + 3.0
    np.testing.assert_allclose(mixed.of_many(paths), expected, rtol=1e-12, atol=1e-12)
    assert len(set(mixed.scopes)) == len(mixed.scopes)


@given(spaces(), st.integers(0, 2**32))
def test_a_linear_model_of_the_values_of_a_path_comes_out_exactly(space, seed: int) -> None:
    generator = np.random.default_rng(seed)
    total = unary(space, {c.name: generator.random(len(c.options)) for c in space.choices})
    effects = {(c.name, o): float(generator.normal()) for c in space.choices for o in c.options}
    cost = linear_cost(
        space, constant=1.5, totals=[total, total * 2.0], weights=[0.3, -1.0], effects=effects
    )
    for path in space.enumerate():
        expected = 1.5 - 1.7 * total.of(path) + sum(effects[item] for item in path.items)
        assert cost.of(path) == pytest.approx(expected, abs=1e-12)


def test_a_gate_may_be_below_zero() -> None:
    space = SearchSpace((Choice("gate", (-2, -1)), Choice("a", (4, 8), "gate", -1)))
    function = unary(space, {"a": [1.0, 2.0]})
    paths = list(space.enumerate())
    assert [function.of(path) for path in paths] == function.of_many(paths).tolist() == [0, 1, 2]


def test_factors_of_the_same_choices_become_one_in_the_order_of_the_space() -> None:
    table = np.arange(6.0).reshape(3, 2)
    function = Additive(SPACE, 0.0, (Factor(("b", "a"), table.T), Factor(("a", "b"), table)))
    assert function.scopes == (("a", "b"),)
    np.testing.assert_array_equal(function.factors[0].table, 2 * table)


def test_option_numbers_tell_what_is_inactive() -> None:
    shallow, deep = SPACE.path({"depth": 1, "a": 16}), SPACE.path({"depth": 2, "b": 8})
    assert option_numbers(SPACE, [shallow, deep]).tolist() == [[0, 2, -1], [1, 0, 1]]
    assert option_numbers(SPACE, []).shape == (0, 3)


def test_a_table_cannot_be_changed() -> None:
    given = np.zeros(3)
    factor = Factor(("a",), given)
    given[0] = 1.0
    assert factor.table[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        factor.table[0] = 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Factor((), np.zeros(())), "at least one"),
        (lambda: Factor(("a", "a"), np.zeros((3, 3))), "distinct"),
        (lambda: Factor(("a",), np.zeros((3, 3))), "one axis for each choice"),
        (lambda: Factor(("a",), np.array([1, np.nan, 2])), "finite"),
        (lambda: Additive(SPACE, np.inf), "finite"),
        (lambda: Additive(SPACE, 0.0, (Factor(("a",), np.zeros(2)),)), r"expected shape \(3,\)"),
        (lambda: Additive(SPACE) + Additive(SearchSpace(())), "two different search spaces"),
        (lambda: Additive(SPACE).of(SearchSpace(()).smallest), "not of this search space"),
        (
            lambda: Additive(SPACE).of(
                SearchSpace((Choice("depth", (1,)), Choice("a", (5,)), Choice("b", (4,)))).smallest
            ),
            "got a=5",
        ),
        (lambda: linear_cost(SPACE, constant=0, weights=[1.0]), "weights do not match"),
        (lambda: linear_cost(SPACE, constant=0, effects={("a", 5): 1.0}), "no option 5"),
    ],
)
def test_what_does_not_fit_is_refused(make, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_an_unknown_choice_is_named_with_what_is_near() -> None:
    with pytest.raises(PathError, match="did you mean depth"):
        unary(SPACE, {"dept": [1.0, 2.0]})
    assert unary(SPACE, {"a": [1, 2, 3]}).of(SPACE.sample(random.Random(0))) > 0
