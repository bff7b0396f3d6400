"""What goals ask of the paths of a space, before one of them is trained."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from tipsc.elastic import additive_totals, family
from tipsc.factors import Additive
from tipsc.pipeline.asked import (
    asked_of,
    budgets_asked,
    near_the_reference,
    needs_reference,
    pinned,
    with_pinned,
)
from tipsc.pipeline.goal import one_for_each, unmeasured
from tipsc.project.config import Build, BuildGoal


@pytest.fixture(scope="module")
def totals() -> Mapping[str, Additive]:
    torch.manual_seed(0)
    stages = [{"channels": 8, "depths": [1, 2], "expansions": [1, 2, 4]}]
    net = family("mobilenet", classes=4, input_shape=[1, 8, 8], stem=8, stages=stages, head=8)
    return additive_totals(net)


def test_a_share_is_of_the_largest_path_and_keeps_a_margin(totals: Mapping[str, Additive]) -> None:
    cost = totals["macs"] * 1e-6
    whole = cost.of(cost.space.largest)
    goals = (BuildGoal(latency_share=0.5), BuildGoal(latency_share=0.5, latency_ms=0.2 * whole))
    half, both = asked_of(goals, cost, totals, 0.9, "fp32")
    assert half.budget == pytest.approx(0.9 * 0.5 * whole)
    assert both.budget == pytest.approx(0.9 * 0.2 * whole)
    (loss,) = asked_of((BuildGoal(lose_at_most=0.01),), cost, totals, 0.9, "fp32")
    assert loss.budget is None and loss.lose_at_most == 0.01


def test_budgets_of_goals_stay_however_few_paths_there_are(totals: Mapping[str, Additive]) -> None:
    cost = totals["macs"] * 1e-6
    build = Build(paths=3, goals=(BuildGoal(latency_share=0.63), BuildGoal(lose_at_most=0.01)))
    goal = unmeasured(cost, totals, build)
    (asked,) = goal.fixed
    assert asked == pytest.approx(0.63 * cost.of(cost.space.largest))
    assert len(goal.budgets) > 3
    kept = one_for_each(goal, 3).budgets
    assert len(kept) == 3 and asked in kept and max(goal.budgets) in kept


def test_no_budget_is_beyond_what_paths_cost(totals: Mapping[str, Additive]) -> None:
    cost = totals["macs"] * 1e-6
    asked = asked_of((BuildGoal(latency_ms=1e-9), BuildGoal(latency_ms=1e9)), cost, totals, 1.0, "")
    assert budgets_asked(asked, 1.0, 2.0) == (1.0, 2.0)


def test_where_little_may_be_lost_paths_near_the_reference_are_looked_for(
    totals: Mapping[str, Additive],
) -> None:
    cost = totals["macs"] * 1e-6
    (loss, share) = asked_of(
        (BuildGoal(lose_at_most=0.01), BuildGoal(latency_share=0.5)), cost, totals, 1.0, "fp32"
    )
    assert near_the_reference([share], 2.0) == ()
    assert near_the_reference([share, loss], 2.0) == (1.0, 1.4, 1.7)


def test_a_goal_pins_the_candidate_that_meets_it(totals: Mapping[str, Additive]) -> None:
    cost = totals["macs"] * 1e-6
    ordered = sorted(cost.space.enumerate(), key=cost.of)
    merits = {path: float(place) for place, path in enumerate(ordered)}
    whole = float(len(ordered) - 1)
    goals = (
        BuildGoal(lose_at_most=2.0),
        BuildGoal(latency_ms=cost.of(ordered[3])),
        BuildGoal(file_bytes=1.0),
    )
    asked = asked_of(goals, cost, totals, 1.0, "fp32")
    smallest = min(ordered, key=totals["parameters"].of)
    cheapest = min(ordered[-3:], key=lambda path: (cost.of(path), path.id))
    best = [path for path in ordered if cost.of(path) <= cost.of(ordered[3])][-1]
    assert pinned(asked, merits, cost, whole) == (cheapest, best, smallest)
    # Before a training nobody knows what a path will lose.
    assert pinned(asked, merits, cost) == (best, smallest)


def test_of_the_others_those_go_that_lie_beside_another(totals: Mapping[str, Additive]) -> None:
    cost = totals["macs"] * 1e-6
    ordered = sorted(cost.space.enumerate(), key=cost.of)
    first, others = ordered[1:2], [ordered[0], ordered[4], ordered[-1]]
    assert with_pinned(first, others, cost, 9) == (*ordered[:2], ordered[4], ordered[-1])
    kept = with_pinned(first, others, cost, 2)
    assert len(kept) == 2 and ordered[1] in kept
    assert with_pinned(ordered[:3], others, cost, 2) == tuple(ordered[:3])


def test_goals_in_bytes_and_milliseconds_need_no_reference() -> None:
    assert not needs_reference((BuildGoal(latency_ms=1.0), BuildGoal(file_bytes=1.0)))
    assert needs_reference((BuildGoal(latency_share=0.5),))
    assert needs_reference((BuildGoal(latency_ms=1.0), BuildGoal(lose_at_most=0.0)))
