from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tipsc.errors import DataError
from tipsc.search import Rated, Selection, area, choose, dominates, pareto_front


def made(*points: tuple[float, float]) -> list[Rated]:
    """Candidates from (latency, merit)."""
    return [Rated(f"p{i}", merit, latency) for i, (latency, merit) in enumerate(points)]


# Coarse grids, so that equal latencies and equal accuracies are common.
POINTS = st.tuples(st.integers(1, 30).map(float), st.integers(0, 20).map(lambda a: a / 20))
SETS = st.lists(POINTS, min_size=1, max_size=9).map(lambda points: made(*points))


def staircase(chosen: list[Rated] | tuple[Selection, ...], slowest_ms: float) -> float:
    return area([Rated(c.path_id, c.merit, c.latency_ms) for c in chosen], slowest_ms)


def wide_enough(chosen: tuple[Rated, ...], spread: float) -> bool:
    return all(b.latency_ms >= a.latency_ms * (1 + spread) - 1e-9 for a, b in pairwise(chosen))


@given(SETS, st.integers(1, 10))
def test_as_many_distinct_paths_as_there_can_be_fast_to_slow(
    candidates: list[Rated], k: int
) -> None:
    chosen = choose(candidates, k)
    assert len({c.path_id for c in chosen}) == len(chosen) == min(k, len(candidates))
    assert [c.latency_ms for c in chosen] == sorted(c.latency_ms for c in chosen)
    by_id = {c.path_id: c for c in candidates}
    assert all(
        (by_id[c.path_id].merit, by_id[c.path_id].latency_ms) == (c.merit, c.latency_ms)
        for c in chosen
    )


@given(SETS, st.integers(1, 10))
def test_the_most_accurate_and_from_two_on_the_fastest_are_chosen(
    candidates: list[Rated], k: int
) -> None:
    chosen = choose(candidates, k)
    assert max(c.merit for c in chosen) == max(c.merit for c in candidates)
    if k > 1:
        assert chosen[0].latency_ms == min(c.latency_ms for c in candidates)


@given(SETS, st.integers(1, 10))
def test_a_slower_path_is_more_accurate_unless_it_is_called_dominated(
    candidates: list[Rated], k: int
) -> None:
    chosen = choose(candidates, k)
    kept = [c for c in chosen if not c.dominated]
    for faster, slower in pairwise(kept):
        same = (faster.latency_ms, faster.merit) == (slower.latency_ms, slower.merit)
        assert same or (faster.merit < slower.merit)
    if len(pareto_front(candidates)) >= k:
        assert len(kept) == len(chosen)


@given(
    st.lists(st.integers(1, 60), min_size=5, max_size=9, unique=True).map(sorted),
    st.lists(st.integers(0, 99), min_size=9, max_size=9, unique=True).map(sorted),
    st.integers(2, 4),
    st.sampled_from([0.0, 0.05, 0.3, 1.0]),
)
def test_the_area_is_the_largest_that_brute_force_finds(
    latencies: list[int], accuracies: list[int], k: int, spread: float
) -> None:
    front = made(*((float(ms), a / 100) for ms, a in zip(latencies, accuracies, strict=False)))
    sets = [(front[0], *middle, front[-1]) for middle in combinations(front[1:-1], k - 2)]
    areas = [staircase(list(s), front[-1].latency_ms) for s in sets if wide_enough(s, spread)]
    assume(areas)  # else no k of the front are so far apart
    chosen = choose(front, k, spread=spread)
    # 1e-9: the areas are sums of a few products of the order of one.
    assert staircase(chosen, front[-1].latency_ms) == pytest.approx(max(areas), abs=1e-9)


@given(SETS)
def test_the_front_holds_exactly_what_nothing_dominates(candidates: list[Rated]) -> None:
    points = {(c.latency_ms, c.merit) for c in candidates}
    undominated = {
        (latency, merit)
        for latency, merit in points
        if not any(
            other != (latency, merit) and other[0] <= latency and other[1] >= merit
            for other in points
        )
    }
    assert {(c.latency_ms, c.merit) for c in pareto_front(candidates)} == undominated


def test_paths_within_the_spread_are_not_both_chosen() -> None:
    dense = made((10, 0.5), (10.1, 0.6), (15, 0.7), (20, 0.8))
    assert [c.path_id for c in choose(dense, 3, spread=0.05)] == ["p0", "p2", "p3"]


def test_a_spread_that_cannot_be_had_gives_way() -> None:
    dense = made((10, 0.5), (10.1, 0.6), (10.3, 0.7), (10.6, 0.8))
    assert len(choose(dense, 3, spread=0.5)) == 3


def test_a_short_front_is_filled_with_what_loses_least() -> None:
    chosen = choose(made((1, 0.5), (2, 0.9), (3, 0.4), (4, 0.8)), 3)
    assert [(c.path_id, c.dominated) for c in chosen] == [
        ("p0", False),
        ("p1", False),
        ("p3", True),
    ]


def test_the_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    candidates = made((1, 0.5), (1, 0.5), (2, 0.6), (3, 0.6), (4, 0.9))
    assert choose(candidates, 4) == choose(candidates[::-1], 4)


def test_of_equal_candidates_the_first_id_is_chosen_in_any_order() -> None:
    candidates = made((1, 0.5), (1, 0.5), (2, 0.6), (2, 0.6))
    for order in (candidates, candidates[::-1]):
        assert [c.path_id for c in choose(order, 2)] == ["p0", "p2"]


@pytest.mark.parametrize(
    ("candidates", "k", "spread", "says"),
    [
        ([], 1, 0.0, "no paths to choose from"),
        (made((1, 0.5)), 0, 0.0, "expected at least 1, got 0"),
        (made((1, 0.5)), 1, -0.1, "not negative"),
        (made((0, 0.5)), 1, 0.0, "path p0: a candidate is not usable"),
        (made((1, float("nan"))), 1, 0.0, "not usable"),
        (made((1, 0.5)) * 2, 1, 0.0, "stands twice"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(
    candidates: list[Rated], k: int, spread: float, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        choose(candidates, k, spread=spread)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.9, 1.0), (0.8, 2.0), True),
        ((0.9, 1.0), (0.9, 2.0), True),
        ((0.9, 1.0), (0.8, 1.0), True),
        ((0.9, 1.0), (0.9, 1.0), False),  # alike
        ((0.8, 1.0), (0.9, 2.0), False),
        ((0.9, 2.0), (0.8, 1.0), False),
    ],
)
def test_a_faster_path_that_is_as_accurate_dominates(
    one: tuple[float, float], other: tuple[float, float], expected: bool
) -> None:
    assert dominates(Rated("one", *one), Rated("other", *other)) is expected
