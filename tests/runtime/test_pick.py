"""The path for a budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.errors import BudgetError, UsageError
from tipsc.quality import Quality
from tipsc.runtime import Latency, PathEntry, pick


def entry(name: str, ms: float | None, accuracy: float | None = None, macs: int = 0) -> PathEntry:
    latency = None if ms is None else Latency(ms * 0.9, ms, ms * 1.5)
    quality = None if accuracy is None else Quality("accuracy", accuracy, "share")
    return PathEntry(name, {}, quality, latency, macs, 0, 0, 0)


entries = st.lists(
    st.tuples(st.none() | st.floats(0.01, 100), st.floats(0, 1)), min_size=1, max_size=8
).map(lambda items: [entry(f"p{i}", *item) for i, item in enumerate(items)])


@given(entries, st.floats(0.001, 500), st.sampled_from(["p10", "p50", "p95"]), st.floats(0.3, 10))
def test_the_most_accurate_that_fits_or_an_error(paths, budget, percentile, slowdown):
    def cost(path: PathEntry) -> float:
        return getattr(path.latency, f"{percentile}_ms") * slowdown

    fitting = [p for p in paths if p.latency and cost(p) <= budget]
    if fitting:
        picked = pick(paths, budget, percentile=percentile, slowdown=slowdown)
        assert picked in fitting
        assert picked.quality.value == max(p.quality.value for p in fitting)
    else:
        with pytest.raises(BudgetError):
            pick(paths, budget, percentile=percentile, slowdown=slowdown)


@given(entries, st.floats(0.001, 500), st.floats(0.001, 500))
def test_more_time_never_gives_less_accuracy(paths, one, other):
    try:
        less = pick(paths, min(one, other))
    except BudgetError:
        return
    assert pick(paths, max(one, other)).quality.value >= less.quality.value


def test_of_equally_accurate_paths_the_fastest():
    assert pick([entry("slow", 2, 0.9), entry("fast", 1, 0.9)], 10).id == "fast"


def test_without_accuracies_the_most_macs():
    assert pick([entry("a", 1, macs=1), entry("b", 2, macs=9), entry("c", 3, macs=5)], 10).id == "b"


def test_measured_accuracy_goes_before_none():
    assert pick([entry("a", 1, 0.1), entry("b", 2, macs=9)], 10).id == "a"


def test_a_slowed_budget_error_says_so():
    with pytest.raises(BudgetError, match=r"takes 3 ms at p50, slowed 3\.00x"):
        pick([entry("a", 1, 0.5)], 2.9, percentile="p50", slowdown=3)


def test_no_latencies_at_all():
    with pytest.raises(BudgetError, match="no path of this engine has a measured latency"):
        pick([entry("a", None, 0.5)], 10)


def test_an_unknown_percentile():
    with pytest.raises(UsageError, match="did you mean p95"):
        pick([entry("a", 1)], 10, percentile="p99")
