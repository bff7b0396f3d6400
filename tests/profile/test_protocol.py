from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.errors import ProfileError
from tipsc.measure.loop import MAX_RUNS, MIN_ROUNDS, MIN_RUNS, make_plan
from tipsc.profile import LatencyStatistics, Protocol, measure, rank
from tipsc.project.target import load_target


class World:
    """A clock that only calls move: what a call costs is known exactly."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.log: list[str] = []

    def clock(self) -> int:
        return self.now_ns

    def call(self, name: str, cost_ms: Callable[[float], float]) -> Callable[[], None]:
        """A call that takes cost_ms(seconds since the world began)."""

        def run() -> None:
            self.log.append(name)
            self.now_ns += round(cost_ms(self.now_ns / 1e9) * 1e6)

        return run

    def measure(self, protocol: Protocol, **costs_ms: Callable[[float], float] | float):  # type: ignore[no-untyped-def]
        calls = {
            name: self.call(name, cost if callable(cost) else lambda _, c=cost: c)  # type: ignore[misc]
            for name, cost in costs_ms.items()
        }
        return measure(calls, protocol=protocol, clock=self.clock)


def test_constant_costs_are_measured_exactly() -> None:
    costs = {"tiny": 0.05, "middle": 8.0, "huge": 200.0}
    found = World().measure(Protocol(), **costs)
    for name, cost in costs.items():
        latency = found.latencies[name]
        assert (latency.p10_ms, latency.p50_ms, latency.p95_ms) == (cost, cost, cost)
        assert latency.cv == pytest.approx(0.0, abs=1e-12)
    assert found.noise_floor.median == found.noise_floor.p95 == found.drift == 0.0
    assert found.anchors == ("tiny", "middle", "huge")


def test_fast_and_slow_calls_both_get_enough_runs() -> None:
    found = World().measure(Protocol(batch_ms=10.0, rounds=20), tiny=0.05, huge=200.0)
    assert found.latencies["tiny"].runs == 20 * 200
    assert found.latencies["huge"].runs == 20 * MIN_RUNS


def test_every_round_visits_every_call_once_in_an_order_that_changes() -> None:
    world = World()
    protocol = Protocol(warm_up_ms=0, rounds=12, batch_ms=1.0)
    world.measure(protocol, a=10.0, b=10.0, c=10.0, d=10.0)
    visit = MIN_RUNS + 1  # one untimed call first
    measured = world.log[4 * 2 :]  # after two warm-up calls each
    assert len(measured) == 12 * 4 * visit
    visits = [measured[i : i + visit] for i in range(0, len(measured), visit)]
    assert all(len(set(calls)) == 1 for calls in visits)
    rounds = ["".join(calls[0] for calls in visits[i : i + 4]) for i in range(0, len(visits), 4)]
    assert all(sorted(names) == list("abcd") for names in rounds)
    assert len(set(rounds)) > 1


def test_the_same_seed_gives_the_same_order() -> None:
    def order(seed: int) -> list[str]:
        world = World()
        world.measure(Protocol(seed=seed, rounds=8), **dict.fromkeys("abcdef", 5.0))
        return world.log

    assert order(1) == order(1) != order(2)


def test_the_first_call_of_a_visit_does_not_count() -> None:
    """Caches that another path filled make the first call after a switch slower."""
    world = World()
    last = [""]

    def path(name: str) -> Callable[[], None]:
        def run() -> None:
            world.now_ns += 5_000_000 if last[0] == name else 9_000_000
            last[0] = name

        return run

    found = measure({n: path(n) for n in "ab"}, protocol=Protocol(), clock=world.clock)
    assert all(latency.p95_ms == 5.0 for latency in found.latencies.values())


def test_drift_is_the_change_from_the_first_quarter_to_the_last() -> None:
    # Slower by 10 % from the middle of the measurement on.
    total_s = World().measure(Protocol(rounds=40), a=5.0, b=20.0).seconds

    def cost(now_s: float) -> float:
        return 10.0 if now_s < total_s else 11.0

    found = World().measure(Protocol(rounds=80), a=cost, b=cost, c=cost)
    assert found.drift == pytest.approx(0.10, abs=0.005)  # costs are rounded to nanoseconds
    assert found.noise_floor.median == pytest.approx(0.10, abs=0.005)


def test_the_noise_floor_tells_how_well_a_measurement_repeats() -> None:
    """Multiplicative noise of 3 %: two measurements of p10 differ by about the floor."""
    generator = np.random.default_rng(0)

    def noisy(scale: float) -> Callable[[float], float]:
        return lambda _: scale * float(np.exp(0.03 * generator.standard_normal()))

    costs = {f"p{i}": noisy(1.0 + i / 10) for i in range(20)}
    protocol = Protocol(batch_ms=2.0)
    first, second = (World().measure(protocol, **costs) for _ in range(2))
    changes = [
        abs(second.latencies[n].p10_ms / first.latencies[n].p10_ms - 1) for n in first.latencies
    ]
    # Half against half is sqrt(2) noisier than whole against whole; 20 paths tell it within 2x.
    ratio = first.noise_floor.median / float(np.median(changes))
    assert math.sqrt(2) / 2 < ratio < math.sqrt(2) * 2
    assert first.noise_floor.p95 >= first.noise_floor.median


def test_the_time_limit_cuts_batches_and_then_rounds() -> None:
    full = World().measure(Protocol(time_limit_s=1000), a=1.0, b=100.0)
    shorter = World().measure(Protocol(time_limit_s=6.4), a=1.0, b=100.0)
    fewer = World().measure(Protocol(time_limit_s=3), a=1.0, b=100.0)
    assert full.rounds == shorter.rounds == 20
    assert shorter.seconds <= 6.4
    assert shorter.latencies["a"].runs < full.latencies["a"].runs
    assert MIN_ROUNDS <= fewer.rounds < 20
    assert fewer.seconds <= 3


def test_less_than_a_measurement_is_never_made() -> None:
    found = World().measure(Protocol(time_limit_s=0.001), a=1000.0)
    assert found.rounds == MIN_ROUNDS
    assert found.latencies["a"].runs == MIN_ROUNDS * MIN_RUNS


def test_calls_that_turn_out_slower_than_estimated_stay_within_the_limit() -> None:
    found = World().measure(Protocol(time_limit_s=10), a=lambda s: 1.0 if s < 0.06 else 100.0)
    assert found.rounds < 20
    assert found.seconds <= 10


@given(
    st.dictionaries(st.text("ab", min_size=1, max_size=4), st.floats(0.001, 1e3), min_size=1),
    st.floats(0.001, 1e3),
)
def test_a_plan_fits_the_time_or_is_the_smallest_there_is(
    estimates: dict[str, float], left_s: float
) -> None:
    plan = make_plan(estimates, Protocol(), left_s)
    assert plan.seconds <= left_s or plan.rounds == MIN_ROUNDS
    assert MIN_ROUNDS <= plan.rounds <= Protocol().rounds
    assert all(MIN_RUNS <= runs <= MAX_RUNS for runs in plan.runs.values())


def test_a_call_that_fails_is_named() -> None:
    def fail() -> None:
        raise RuntimeError("no memory")

    with pytest.raises(ProfileError, match=r"path7: a call failed.*RuntimeError: no memory") as e:
        measure({"path7": fail})
    assert isinstance(e.value.__cause__, RuntimeError)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ProfileError, match="nothing to measure"):
        measure({})


def test_garbage_collection_is_off_while_timing_and_back_after() -> None:
    seen: list[bool] = []
    assert gc.isenabled()
    measure({"a": lambda: seen.append(gc.isenabled())}, protocol=Protocol(warm_up_ms=0, rounds=4))
    assert not any(seen)
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin")
def test_the_thread_is_pinned_while_timing_and_free_after() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    seen: set[frozenset[int]] = set()
    protocol = Protocol(cores=(core,), warm_up_ms=0, rounds=4, batch_ms=0.01)
    found = measure({"a": lambda: seen.add(frozenset(os.sched_getaffinity(0)))}, protocol=protocol)
    assert seen == {frozenset({core})}
    assert found.pinned_cores == (core,)
    assert os.sched_getaffinity(0) == before


def test_progress_reaches_one_and_never_falls() -> None:
    world = World()
    told: list[tuple[float, float]] = []
    measure(
        {"a": world.call("a", lambda _: 20.0)},
        progress=lambda share, left_s: told.append((share, left_s)),
        clock=world.clock,
    )
    shares = [share for share, _ in told]
    assert len(shares) > 2
    assert shares == sorted(shares)
    assert told[-1] == (1.0, 0.0)


def test_real_work_of_different_size_is_ranked_right() -> None:
    def work(n: int) -> Callable[[], object]:
        return lambda: sum(range(n))

    protocol = Protocol(warm_up_ms=5, rounds=8, batch_ms=2)
    found = measure({"c": work(90_000), "a": work(2_000), "b": work(20_000)}, protocol=protocol)
    assert [names[0] for names in found.ranked()][:1] == ["a"]
    p10 = {name: latency.p10_ms for name, latency in found.latencies.items()}
    assert p10["a"] < p10["b"] < p10["c"]  # a factor of at least four each
    for latency in found.latencies.values():
        assert 0 < latency.p10_ms <= latency.p50_ms <= latency.p95_ms


def test_gaps_below_the_floor_are_ties() -> None:
    def at(ms: float) -> LatencyStatistics:
        return LatencyStatistics.of(np.array([ms]))

    latencies = {"d": at(12.0), "a": at(10.0), "c": at(10.9), "b": at(10.4)}
    assert rank(latencies, 0.05) == (("a", "b"), ("c",), ("d",))
    assert rank(latencies, 0.0) == (("a",), ("b",), ("c",), ("d",))


def test_a_target_says_how_to_measure() -> None:
    target = load_target("host")
    protocol = Protocol.for_target(target, seed=3)
    assert protocol.rounds == target.measure.rounds
    assert protocol.seed == 3
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    assert set(protocol.cores) <= allowed
    assert len(protocol.cores) == min(target.threads, len(allowed))


def test_statistics_of_known_samples() -> None:
    samples = np.arange(101.0, 0.0, -1.0)
    latency = LatencyStatistics.of(samples)
    assert (latency.p10_ms, latency.p50_ms, latency.p95_ms) == (11.0, 51.0, 96.0)
    assert latency.mean_ms == 51.0
    assert latency.cv == pytest.approx(float(np.std(samples)) / 51.0)
    assert latency.runs == 101
