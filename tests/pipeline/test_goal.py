"""Which paths are wanted: budgets of a target, and one for each path that ships."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tipsc.elastic import additive_totals, family
from tipsc.errors import ConfigError
from tipsc.pipeline.goal import Goal, one_for_each, unmeasured
from tipsc.pipeline.plan import plan_of
from tipsc.project.config import Build, BuildLimits
from tipsc.project.target import load_target
from tipsc.search.limits import within


@pytest.fixture(scope="module")
def goal() -> Goal:
    torch.manual_seed(0)
    stages = [{"channels": 8, "depths": [1, 2], "expansions": [1, 2, 4]}]
    supernet = family("mobilenet", classes=4, input_shape=[1, 8, 8], stem=8, stages=stages, head=8)
    totals = additive_totals(supernet)
    return unmeasured(totals["macs"] * 1e-6, totals, Build(paths=4))


def test_what_stands_in_for_a_latency_is_never_called_measured(goal: Goal) -> None:
    space = goal.cost.space
    (largest, measured), (smallest, _) = goal.latencies([space.largest, space.smallest])
    assert (largest, measured) == (goal.totals["macs"].of(space.largest) / 1e6, False)
    assert smallest < goal.budgets[0] and goal.budgets[-1] == pytest.approx(largest)
    assert len(goal.budgets) == 4


@given(
    budgets=st.lists(st.floats(0.05, 0.2), min_size=1, max_size=12, unique=True),
    count=st.integers(1, 10),
)
def test_there_is_a_budget_for_each_path(goal: Goal, budgets: list[float], count: int) -> None:
    found = one_for_each(replace(goal, budgets=tuple(sorted(budgets))), count).budgets
    assert len(found) == count and list(found) == sorted(set(found))
    assert found[-1] == max(budgets)  # what the slowest path may take is not given up
    if count <= len(budgets):
        assert set(found) <= set(budgets)
    else:
        assert set(found) >= set(budgets)


def test_budgets_come_into_the_widest_gap(goal: Goal) -> None:
    high = goal.budgets[-1]
    low = goal.latencies([goal.cost.space.smallest])[0][0]
    (middle, top) = one_for_each(replace(goal, budgets=(high,)), 2).budgets
    assert top == high and middle == pytest.approx((low * high) ** 0.5)


@pytest.mark.parametrize(
    ("key", "build"),
    [
        ("build.budgets_ms", Build(budgets_ms=(1.0,))),
        ("build.limits.latency_ms", Build(limits=BuildLimits(latency_ms=1.0))),
    ],
)
def test_milliseconds_are_refused_where_nothing_was_measured(key: str, build: Build) -> None:
    with pytest.raises(ConfigError, match=rf"{key}.*--profile"):
        plan_of(load_target("jetson"), build)
    assert plan_of(load_target("host"), build).unmeasured is False


def test_bytes_are_limited_without_a_profile_as_well(goal: Goal) -> None:
    space, weights = goal.cost.space, goal.totals["parameters"]
    limits = BuildLimits(file_bytes=4 * weights.of(space.smallest))
    found = unmeasured(goal.cost, goal.totals, Build(paths=4, limits=limits))
    assert [limit.name for limit in found.limits] == ["file_bytes"]
    assert within(found.limits, [space.smallest, space.largest]) == [space.smallest]


def test_what_chooses_where_nothing_was_measured_is_named() -> None:
    target = load_target("jetson")
    plan = plan_of(target, Build())
    assert plan.unmeasured and plan.roofline == target.roofline
    assert "estimated" in plan.chosen_by and "Orin Nano" in plan.chosen_by
    plan = plan_of(target.model_copy(update={"roofline": None}), Build())
    assert plan.unmeasured and plan.chosen_by == "MACs (nothing was measured)"
