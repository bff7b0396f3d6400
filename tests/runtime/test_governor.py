"""The governor against a simulated device: a clock that the calls themselves advance."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.errors import BudgetError, DataError
from tipsc.runtime import Engine, Governor, Latency, PathEntry
from tipsc.runtime.governor import MAX_SLOWDOWN, MIN_SLOWDOWN

#: p50 of 1, 2, 4, 8, 16 ms; p95 is 10 % above it
PATHS = tuple(
    PathEntry(f"p{i}", {}, 0.5 + i / 10, Latency(0.95 * 2**i, 2.0**i, 1.1 * 2**i), 0, 0, 0, 0)
    for i in range(5)
)


class Device:
    """An engine whose calls take their p50, times `factor`, times some noise below 10 %."""

    paths = PATHS

    def __init__(self, factor: float = 1.0, noise: float = 0.0) -> None:
        self.factor, self.noise, self.now = factor, noise, 0.0
        self.random = random.Random(0)

    def run(self, x: object, *, path: PathEntry) -> object:
        noise = 1 + self.noise * self.random.uniform(-1, 1)
        self.now += path.latency.p50_ms * self.factor * noise / 1e3
        return x

    def clock(self) -> float:
        return self.now


def governed(device: Device) -> Governor:
    return Governor(device, clock=device.clock)


def best(budget_ms: float, factor: float) -> PathEntry:
    return [p for p in PATHS if p.latency.p95_ms * factor <= budget_ms][-1]


def test_on_a_device_as_profiled_it_picks_as_the_profile_says():
    device = Device()
    governor = governed(device)
    for budget in (1.2, 3, 5, 9, 100):
        result = governor.run("x", budget_ms=budget)
        assert result.path == best(budget, 1)
        assert result.output == "x"
        assert result.elapsed_ms == pytest.approx(result.path.latency.p50_ms)
        assert result.in_time


@given(st.floats(1.05, 12), st.floats(20, 400))
def test_once_the_slow_device_is_known_every_budget_is_met(factor, budget):
    device = Device(factor, noise=0.05)
    governor = governed(device)
    for _ in range(8):
        governor.run(0, budget_ms=budget)
    for _ in range(50):
        assert governor.run(0, budget_ms=budget).in_time


@given(st.floats(1.05, 12))
def test_it_follows_up_within_five_calls(factor):
    device = Device()
    governor = governed(device)
    for _ in range(10):
        governor.run(0, budget_ms=30)
    device.factor = factor
    for _ in range(6):
        governor.run(0, budget_ms=30)
    assert governor.slowdown == pytest.approx(factor, rel=0.1)


@given(st.floats(1.5, 12))
def test_it_comes_back_when_the_device_recovers(factor):
    device = Device(factor)
    governor = governed(device)
    for _ in range(20):
        governor.run(0, budget_ms=30)
    device.factor = 1.0
    slowdowns = [governor.slowdown]
    for _ in range(60):
        governor.run(0, budget_ms=30)
        slowdowns.append(governor.slowdown)
    assert max(slowdowns) <= factor * (1 + 1e-9)
    assert slowdowns[3:] == sorted(slowdowns[3:], reverse=True)  # the old ratios are out by then
    assert governor.run(0, budget_ms=30).path == best(30, 1)


@given(st.floats(2, 1e6), st.integers(0, 20))
def test_one_stray_call_changes_nothing(stray, after):
    device = Device()
    governor = governed(device)
    for _ in range(3 + after):
        governor.run(0, budget_ms=30)
    governor.observe(PATHS[0], stray)
    for _ in range(5):
        assert governor.run(0, budget_ms=18).path == best(18, 1)
    assert governor.slowdown == pytest.approx(1)


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.floats(0, 1e9)), max_size=40))
def test_the_estimate_stays_within_its_bounds_and_what_was_seen(calls):
    device = Device()
    governor = governed(device)
    ratios = [1.0]
    for path, elapsed in calls:
        governor.observe(path, elapsed)
        ratios.append(elapsed / path.latency.p50_ms)
        low, high = max(min(ratios), MIN_SLOWDOWN), min(max(ratios), MAX_SLOWDOWN)
        assert low * (1 - 1e-9) <= governor.slowdown <= high * (1 + 1e-9)


def test_the_fastest_runs_when_slowing_leaves_none_and_recovery_is_noticed():
    device = Device(100.0)
    governor = governed(device)
    for _ in range(10):
        result = governor.run(0, budget_ms=2)
    assert result.path == PATHS[0]
    assert not result.in_time
    device.factor = 1.0
    for _ in range(80):
        result = governor.run(0, budget_ms=2)
    assert result.in_time


def test_a_budget_that_never_fits():
    governor = governed(Device(5.0))
    for _ in range(5):
        with pytest.raises(BudgetError, match=r"fastest, p0, takes 1\.1 ms"):
            governor.run(0, budget_ms=1)
        governor.run(0, budget_ms=50)


def test_a_faster_device_is_used():
    device = Device(0.5)
    governor = governed(device)
    for _ in range(60):
        result = governor.run(0, budget_ms=9)
    assert result.path == PATHS[4]
    assert result.in_time


def test_a_call_that_fails_teaches_nothing(engine_file, image):
    with Engine.open(engine_file) as engine:
        governor = Governor(engine)
        with pytest.raises(DataError):
            governor.run(image[0], budget_ms=1000)
        assert governor.slowdown == 1
        result = governor.run(image, budget_ms=1000)
        assert result.path == engine.paths[-1]
        assert result.output.shape == (1, 10)
        assert result.elapsed_ms > 0
        assert governor.slowdown != 1
