"""The best paths within limits, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_spaces import additives, spaces

from tipsc.dtmc.folded import graph_for
from tipsc.errors import BudgetError, DataError
from tipsc.factors import Additive, unary
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.search.best import MOST_LISTED, Listed, Unrolled, searchable
from tipsc.search.limits import Limit, check_possible, within


@st.composite
def limited(
    draw: st.DrawFn, most: int = 2
) -> tuple[SearchSpace, Additive, tuple[Limit, ...], list[Path]]:
    """A space, a utility, one or more limits that some path keeps, and the paths that do."""
    space = draw(spaces())
    utility = draw(additives(space))
    limits = []
    for number in range(draw(st.integers(1, most))):
        cost = draw(additives(space))
        cost = cost + (1.0 - min(cost.of(path) for path in space.enumerate()))
        values = sorted({cost.of(path) for path in space.enumerate()})
        limits.append(Limit(f"limit{number}", cost, draw(st.sampled_from(values))))
    allowed = within(limits, list(space.enumerate()))
    assume(allowed)
    return space, utility, tuple(limits), allowed


@settings(deadline=None)
@given(limited(), st.integers(1, 5))
def test_both_ways_find_the_best_paths_that_brute_force_finds(problem, k: int) -> None:
    space, utility, limits, allowed = problem
    assert space.size <= MOST_LISTED  # so that the listing ends by itself
    truth = sorted((utility.of(path) for path in allowed), reverse=True)[:k]
    graph = graph_for(utility, *(limit.cost for limit in limits))
    for way in (Listed(space), Unrolled(graph)):
        found = way.best(utility, limits, k)
        assert len(set(found)) == len(found) == len(truth)
        assert within(limits, found) == found
        assert [utility.of(path) for path in found] == pytest.approx(truth, abs=1e-9)


@settings(deadline=None)
@given(limited(most=1))
def test_the_path_that_comes_nearest_keeps_a_limit_that_can_be_kept(problem) -> None:
    space, utility, limits, _ = problem
    graph = graph_for(utility, *(limit.cost for limit in limits))
    for way in (Listed(space), Unrolled(graph)):
        assert within(limits, [way.nearest(limits)])


def test_a_limit_is_kept_in_a_space_of_10_to_the_18() -> None:
    space = SearchSpace(tuple(Choice(f"c{i}", (1, 2, 3, 4)) for i in range(30)))
    generator = np.random.default_rng(0)

    def rising() -> Additive:
        return unary(space, {c.name: generator.uniform(0, 1, 4).cumsum() for c in space.choices})

    utility, latency, memory = rising(), rising() + 1.0, rising() + 1.0
    limits = (Limit("latency", latency, 25.0), Limit("memory", memory, 22.0))
    way = searchable(space, utility, latency, memory)
    assert isinstance(way, Unrolled)
    found = way.best(utility, limits, 5)
    assert len(found) == 5 and within(limits, found) == found
    values = [utility.of(path) for path in found]
    assert values == sorted(values, reverse=True)
    # No path has more than the bound that any prices give (weak duality).
    prices = np.linspace(0, 3, 7)
    bound = min(
        max(
            utility.of(path) - a * latency.of(path) - b * memory.of(path)
            for path in way.best(utility - a * latency - b * memory, (), 1)
        )
        + a * 25.0
        + b * 22.0
        for a in prices
        for b in prices
    )
    assert values[0] <= bound + 1e-9
    assert values[0] >= 0.9 * bound


def test_what_cannot_be_kept_is_refused_and_the_nearest_path_named() -> None:
    space = SearchSpace((Choice("width", (1, 2)), Choice("depth", (1, 2))))
    cost = unary(space, {"width": [1.0, 2.0], "depth": [1.0, 3.0]})
    limits = (Limit("latency_ms", cost, 1.5),)
    nearest = Listed(space).nearest(limits)
    assert nearest == space.smallest
    with pytest.raises(BudgetError, match="no path keeps all limits") as raised:
        check_possible(limits, nearest)
    said = str(raised.value)
    assert "latency_ms at most 1.5, got" in said and nearest.id in said and "latency_ms 2" in said


def test_a_margin_is_told_apart_from_what_the_user_wrote() -> None:
    space = SearchSpace((Choice("width", (1, 2)),))
    limit = Limit("latency_ms", unary(space, {"width": [1.9, 2.5]}), 2.0, margin=0.1)
    assert limit.allowed == pytest.approx(1.8)
    with pytest.raises(BudgetError) as raised:
        check_possible((limit,), space.smallest)
    said = str(raised.value)
    assert "latency_ms at most 2 (" in said and "may reach 1.8: 10.0% are kept free" in said


@pytest.mark.parametrize("most", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_is_a_positive_number(most: float) -> None:
    space = SearchSpace((Choice("width", (1, 2)),))
    with pytest.raises(DataError, match="must be a positive number"):
        Limit("memory_bytes", Additive(space, 1.0), most)
