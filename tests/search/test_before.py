"""Paths that are chosen before their training: one for each budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.errors import DataError
from tipsc.search import Rated, for_budgets

CANDIDATES = [
    Rated("tiny", 0.3, 1.0),
    Rated("small", 0.5, 1.9),
    Rated("other", 0.4, 2.0),
    Rated("middle", 0.45, 3.0),
    Rated("large", 0.9, 8.0),
]


def chosen(*budgets: float) -> list[str]:
    return [selection.path_id for selection in for_budgets(CANDIDATES, budgets)]


def test_each_budget_has_the_best_path_above_the_budget_before_it() -> None:
    assert chosen(2.0, 4.0, 8.0) == ["small", "middle", "large"]
    assert chosen(1.0, 2.0) == ["tiny", "small"]


def test_a_worse_path_is_trained_where_only_it_costs_so_much() -> None:
    """`middle` is worse than `small` as it is; what they are worth, training decides."""
    assert "middle" in chosen(2.0, 4.0)
    dominated = {s.path_id: s.dominated for s in for_budgets(CANDIDATES, [2.0, 4.0])}
    assert dominated == {"small": False, "middle": True}


def test_a_budget_without_a_path_of_its_own_gets_the_next_best_below() -> None:
    assert chosen(2.0, 2.5) == ["small", "other"]
    assert chosen(8.0, 9.0) == ["small", "large"]


def test_a_blind_path_gives_way_to_the_fastest_other_one_within_the_budgets() -> None:
    def with_blind(blind: set[str], *budgets: float) -> list[str]:
        return [s.path_id for s in for_budgets(CANDIDATES, budgets, blind=blind)]

    assert with_blind({"tiny"}, 1.0, 2.0, 8.0) == ["small", "other", "large"]
    assert with_blind({"tiny", "other"}, 1.0, 2.0, 8.0) == ["small", "middle", "large"]
    assert with_blind({"middle"}, 1.0, 2.0, 8.0) == ["tiny", "small", "large"]  # not chosen anyway
    assert with_blind({"tiny"}, 1.0, 1.9) == ["tiny", "small"]  # no other keeps a budget


def test_no_path_for_any_budget_is_an_error() -> None:
    with pytest.raises(DataError, match="no path for any of these budgets"):
        for_budgets(CANDIDATES, [0.5])


rated = st.builds(
    Rated, st.uuids().map(str), st.floats(0, 1, width=16), st.floats(1, 100, width=16)
)


@given(
    candidates=st.lists(rated, min_size=1, max_size=30, unique_by=lambda c: c.path_id),
    budgets=st.lists(st.floats(100, 200), min_size=1, max_size=8, unique=True),
)
def test_as_many_as_there_are_budgets_or_candidates(
    candidates: list[Rated], budgets: list[float]
) -> None:
    found = for_budgets(candidates, budgets)
    assert len({s.path_id for s in found}) == len(found) == min(len(candidates), len(budgets))
    assert [s.latency_ms for s in found] == sorted(s.latency_ms for s in found)
