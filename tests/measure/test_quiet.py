"""Visits that other work disturbed, waiting for quiet, and a real process that competes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hog import CORE, hog, needs_schedstat

from tipsc.measure import loop, pauses, quiet
from tipsc.measure.disturbance import UNTOLD, Disturbance, noise_of
from tipsc.measure.loop import Settings, Times, collect_times
from tipsc.measure.others import Counters, Waiting
from tipsc.measure.quiet import collect_quiet, longest_s, wait_until_quiet
from tipsc.profile import Samples

SETTINGS = Settings(warm_up_ms=0.0, rounds=20, batch_ms=10.0, time_limit_s=300.0, cores=(), seed=0)


class Machine:
    """Calls of 1 ms, of which each fifth takes 4 ms and waits for 3 of them while others run."""

    def __init__(self, busy: Callable[[float], bool]) -> None:
        self.now_ns, self.waited_ns, self.calls, self.busy = 0, 0, 0, busy

    def clock(self) -> int:
        return self.now_ns

    def call(self) -> None:
        self.calls += 1
        self.now_ns += 1_000_000
        if self.busy(self.now_ns / 1e9) and self.calls % 5 == 0:
            self.now_ns += 3_000_000
            self.waited_ns += 3_000_000


@pytest.fixture
def machine_where(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[float], bool]], Machine]:
    def make(busy: Callable[[float], bool]) -> Machine:
        machine = Machine(busy)

        class Told(Waiting):
            """What the kernel would say of this machine."""

            def _read(self) -> tuple[int, int, int]:
                return machine.waited_ns, 0, 0

        monkeypatch.setattr(loop, "Waiting", Told)
        return machine

    return make


def measured(machine: Machine, names: str = "abcd") -> Times:
    return collect_times(dict.fromkeys(names, machine.call), SETTINGS, None, machine.clock)


def test_a_passing_job_does_not_move_p95(
    machine_where: Callable[[Callable[[float], bool]], Machine],
) -> None:
    machine = machine_where(lambda now_s: 0.2 < now_s < 0.4)
    times = measured(machine)
    found = times.disturbance
    assert found.repeated > 3
    assert (found.disturbed, found.waited) == (0, 0.0)
    assert noise_of(found) == ""
    measurement = Samples(times.batches, (), 1.0, found).summarise()
    assert {latency.p95_ms for latency in measurement.latencies.values()} == {1.0}
    assert measurement.disturbance.repeated == found.repeated  # what was dropped is told


def test_a_visit_that_stays_disturbed_counts_and_is_told(
    machine_where: Callable[[Callable[[float], bool]], Machine],
) -> None:
    machine = machine_where(lambda now_s: now_s > 0.6)
    found = measured(machine).disturbance
    assert found.share is not None and found.share > 0.2
    assert "other work" in noise_of(found)


def test_a_busy_machine_is_not_measured_over_and_over(
    machine_where: Callable[[Callable[[float], bool]], Machine],
) -> None:
    alone = machine_where(lambda now_s: False)
    measured(alone)
    busy = machine_where(lambda now_s: True)
    times = measured(busy)
    assert busy.calls == alone.calls
    assert times.disturbance.share == 1.0


def test_measuring_again_keeps_to_the_time_limit(
    machine_where: Callable[[Callable[[float], bool]], Machine],
) -> None:
    machine = machine_where(lambda now_s: now_s > 0.8)
    tight = replace(SETTINGS, time_limit_s=1.1)
    collect_times(dict.fromkeys("abcd", machine.call), tight, None, machine.clock)
    assert machine.now_ns / 1e9 < 1.1 + 0.05  # a visit's length


def test_another_clock_than_the_machines_tells_nothing_of_the_machine() -> None:
    machine = Machine(lambda now_s: False)
    found = measured(machine).disturbance
    assert replace(found, visits=0) == UNTOLD
    assert found.visits == 80


def readings(shares: Iterator[float | None]) -> Callable[[], Counters]:
    """A core of which others have these shares, half a second after half a second."""
    state = {"at": 0.0, "busy": 0.0}

    def read() -> Counters:
        share = next(shares)
        state["at"] += 0.5
        state["busy"] += 0.5 * (share or 0.0)
        busy = {} if share is None else {0: state["busy"]}
        return Counters(state["at"], 0.0, busy, dict.fromkeys(busy, 0.0), {}, cooled=False)

    return read


def waits(*shares: float | None, limit_s: float = 30.0) -> float:
    def forever() -> Iterator[float | None]:
        yield from shares
        while True:
            yield shares[-1]

    return wait_until_quiet((0,), limit_s, None, lambda s: None, readings(forever()))


def test_it_waits_until_others_are_gone_and_no_longer() -> None:
    assert waits(0.0, 0.0) == 1.0  # two quiet moments
    assert waits(0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0) == 3.0
    assert waits(0.0, 0.5, limit_s=5.0) == 5.0
    assert waits(0.0, 1.0, limit_s=0.0) == 0.0
    assert waits(None) == 0.5  # nothing is told: there is no use in waiting


def test_a_wait_is_told_only_where_others_are_there() -> None:
    def told(*shares: float) -> list[tuple[float, float]]:
        heard: list[tuple[float, float]] = []
        read = readings(iter((*shares, 0.0, 0.0, 0.0)))
        wait_until_quiet((0,), 30.0, lambda *now: heard.append(now), lambda s: None, read)
        return heard

    assert told() == []
    assert told(0.0, 0.5, 0.5) == [(0.0, 30.0)] * 2


def test_the_quietest_of_three_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    shares, seeds = [50, 20, 90], []

    def collect(calls: object, settings: Settings, progress: object, clock: object) -> Times:
        seeds.append(settings.seed)
        disturbed = shares[len(seeds) - 1]
        found = Disturbance(visits=100, disturbed=disturbed, waited=disturbed / 200)
        return Times({"a": [[disturbed]]}, (), 1.0, found)

    monkeypatch.setattr(quiet, "collect_times", collect)
    monkeypatch.setattr(quiet, "wait_until_quiet", lambda cores, limit_s, progress: 2.0)
    times = collect_quiet({"a": lambda: None}, replace(SETTINGS, wait_quiet_s=60.0))
    assert times.batches == {"a": [[20]]}
    assert (times.disturbance.measured, times.disturbance.paused_s) == (3, 6.0)
    assert len(set(seeds)) == 3
    seeds.clear()
    once = collect_quiet({"a": lambda: None}, replace(SETTINGS, wait_quiet_s=0.0))
    assert once.disturbance.measured == len(seeds) == 1


def test_who_waits_at_the_other_end_waits_long_enough() -> None:
    assert longest_s(SETTINGS) == 600.0
    assert longest_s(replace(SETTINGS, wait_quiet_s=60.0)) == 1860.0


def spin() -> object:
    """About a tenth of a millisecond of real work."""
    return sum(range(4000))


@needs_schedstat
def test_a_real_process_on_the_same_core_is_seen() -> None:
    settings = replace(SETTINGS, cores=(CORE,), batch_ms=20.0)
    with hog():
        found = collect_times({"a": spin, "b": spin}, settings).disturbance
    assert found.share is not None and found.share > 0.2
    assert found.others is not None and found.others > 0.1
    assert "other work took" in noise_of(found)


@needs_schedstat
def test_with_time_to_wait_it_waits_and_measures_again_until_that_is_over() -> None:
    settings = replace(SETTINGS, cores=(CORE,), rounds=5, wait_quiet_s=1.5)
    begin = time.monotonic()
    with hog():
        times = collect_quiet({"a": spin, "b": spin}, settings)
    assert time.monotonic() - begin > 1.5
    assert times.disturbance.paused_s >= 1.5
    assert times.disturbance.measured == quiet.MOST_MEASURED
    assert noise_of(times.disturbance)


def test_own_threads_are_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another thread of this process takes of the core is the backend's own doing."""
    # Waited, CPU time of the process, and of the thread: 3 of 5 ms waited were for own threads.
    readings = iter([(0, 10_000_000, 8_000_000), (5_000_000, 14_000_000, 9_000_000)])
    monkeypatch.setattr(Waiting, "_read", lambda self: next(readings))
    with Waiting() as waiting:
        waiting.begin()
        assert waiting.nanoseconds() == 2_000_000


def test_a_call_after_a_pause_that_waited_for_its_core_is_made_again(
    machine_where: Callable[[Callable[[float], bool]], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = machine_where(lambda now_s: True)
    monkeypatch.setattr(pauses, "Waiting", loop.Waiting)
    found = pauses.collect_pauses(
        {"a": machine.call}, (), rounds=40, sleep=lambda s: None, clock=machine.clock
    )
    assert found == {"a": [1.0] * 40}
    assert machine.calls > 41
