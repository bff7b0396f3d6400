"""The measuring protocol: how long calls take, measured so that they can be ranked.

It times plain callables and knows nothing of models or backends. All calls are visited in rounds,
each round in a new random order, so that a slow moment of the machine hits all alike. A visit is
one untimed call (the caches belong to another path before it) and then a batch of timed ones. The
thread is pinned and garbage collection is off. Rank by p10, the statistic that repeats best on a
shared machine, and treat gaps below the noise floor as ties.

A visit in which the thread had to wait for its core tells of other work and not of the call: it is
made again, a few times, and the quieter one counts. What could not be had quietly is told.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from tipsc.errors import ProfileError, TipscError
from tipsc.measure.disturbance import MOST_WAITED, UNTOLD, Disturbance
from tipsc.measure.others import Others, Waiting, others_between, read_counters
from tipsc.measure.pinning import pinned

Call = Callable[[], object]
Clock = Callable[[], int]
Progress = Callable[[float, float], None]
Batches = list[list[int]]  # for each round, the nanoseconds of its batch

MIN_ROUNDS = 4  # each half of the rounds still sees a call twice
MIN_RUNS = 2
MAX_RUNS = 1000
AGAIN = 3  # times that the disturbed visits are made again
MOST_AGAIN = 0.5  # share of disturbed visits above which that is of no use: it is no passing moment
PROGRESS_EVERY_NS = 200_000_000
_ALONE = 1.2  # a process that used more than this times its thread's CPU time has other threads


@dataclass(frozen=True)
class Settings:
    """How to measure: the fields of :class:`tipsc.profile.Protocol`, not checked."""

    warm_up_ms: float
    rounds: int
    batch_ms: float
    time_limit_s: float
    cores: tuple[int, ...]
    seed: int
    wait_quiet_s: float = 0.0


@dataclass(frozen=True)
class Times:
    """Every single time; see :class:`tipsc.profile.Samples`."""

    batches: Mapping[str, Batches]
    held: tuple[int, ...]
    seconds: float
    disturbance: Disturbance = UNTOLD


def collect_times(
    calls: Mapping[str, Call],
    protocol: Settings,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Times:
    """Time every call and keep each single time; see :func:`tipsc.profile.collect`.

    Args:
        clock: where it is not the machine's own, what the machine counts is not looked at.
    """
    if not calls:
        raise ProfileError("there is nothing to measure", fix="give at least one call")
    begin = clock()
    real = clock is time.perf_counter_ns
    with pinned(protocol.cores) as held, _no_garbage_collection(), Waiting(real) as waiting:
        timer = _Timer(clock, waiting)
        estimates_ms = {name: _warm_up(name, calls[name], protocol, timer) for name in calls}
        left_s = protocol.time_limit_s - (clock() - begin) / 1e9
        plan = make_plan(estimates_ms, protocol, left_s)
        before = read_counters()
        process, thread = time.process_time(), time.thread_time()
        visits = _rounds(calls, plan, protocol.seed, left_s, progress, timer)
        end = begin + round(protocol.time_limit_s * 1e9)
        repeated = _again(calls, plan, visits, protocol.seed, end, timer)
        others = others_between(before, read_counters(), held) if real else Others()
        process, thread = time.process_time() - process, time.thread_time() - thread
    found = _disturbance(visits, repeated, others, threaded=process > _ALONE * thread)
    batches = {name: [visit.nanoseconds for visit in row] for name, row in visits.items()}
    return Times(batches, held, (clock() - begin) / 1e9, found)


@dataclass(frozen=True)
class VisitPlan:
    """Timed runs of one visit by name, how many rounds, and the seconds they should take."""

    runs: Mapping[str, int]
    rounds: int
    seconds: float


def make_plan(estimates_ms: Mapping[str, float], protocol: Settings, left_s: float) -> VisitPlan:
    """Spread `left_s` seconds over the calls: shorter batches first, then fewer rounds."""

    def plan(batch_ms: float, rounds: int) -> VisitPlan:
        runs = {
            name: min(max(round(batch_ms / max(estimate, 1e-6)), MIN_RUNS), MAX_RUNS)
            for name, estimate in estimates_ms.items()
        }
        round_ms = sum(estimates_ms[name] * (runs[name] + 1) for name in runs)
        return VisitPlan(runs, rounds, rounds * round_ms / 1e3)

    batch_ms = protocol.batch_ms
    for _ in range(12):
        candidate = plan(batch_ms, protocol.rounds)
        if candidate.seconds <= left_s:
            return candidate
        batch_ms /= 2
    rounds = int(max(left_s, 0.0) / max(candidate.seconds / protocol.rounds, 1e-9))
    return plan(batch_ms, min(max(rounds, MIN_ROUNDS), protocol.rounds))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class _Timer:
    clock: Clock
    waiting: Waiting


@dataclass(frozen=True)
class _Visit:
    """The times of a batch, and the share of it in which the thread waited; None if untold."""

    nanoseconds: list[int]
    waited: float | None

    @property
    def disturbed(self) -> bool:
        return self.waited is not None and self.waited > MOST_WAITED


def _warm_up(name: str, call: Call, protocol: Settings, timer: _Timer) -> float:
    """Run a call until it is warm; the fastest run, in milliseconds, is the first estimate."""
    clock = timer.clock
    begin, fastest, runs = clock(), float("inf"), 0
    while runs < 2 or (clock() - begin < protocol.warm_up_ms * 1e6 and runs < MAX_RUNS):
        (elapsed,) = _batch(name, call, 1, clock)
        fastest, runs = min(fastest, elapsed), runs + 1
    return fastest / 1e6


def _batch(name: str, call: Call, runs: int, clock: Clock) -> list[int]:
    """The nanoseconds of `runs` calls, one by one."""
    elapsed = [0] * runs
    try:
        for index in range(runs):
            start = clock()
            call()
            elapsed[index] = clock() - start
    except TipscError:
        raise
    except Exception as error:
        raise ProfileError(
            f"a call failed while it was measured: {type(error).__name__}: {error}", where=name
        ) from error
    return elapsed


def _visit(name: str, call: Call, runs: int, timer: _Timer) -> _Visit:
    """One untimed call and a batch of timed ones."""
    timer.waiting.begin()
    begin = timer.clock()
    _batch(name, call, 1, timer.clock)
    nanoseconds = _batch(name, call, runs, timer.clock)
    waited = timer.waiting.nanoseconds()
    if waited is None:
        return _Visit(nanoseconds, None)
    return _Visit(nanoseconds, waited / max(timer.clock() - begin, 1))


def _rounds(
    calls: Mapping[str, Call],
    plan: VisitPlan,
    seed: int,
    left_s: float,
    progress: Progress | None,
    timer: _Timer,
) -> dict[str, list[_Visit]]:
    """By name, for each round its visit."""
    clock = timer.clock
    generator = random.Random(seed)
    order = list(calls)
    visits: dict[str, list[_Visit]] = {name: [] for name in calls}
    report = _Reporter(progress, plan.rounds * len(calls), clock)
    begin = now = clock()
    longest = 0
    for done in range(plan.rounds):
        # The first estimate may have been too low: stop when another round would not fit.
        if done >= MIN_ROUNDS and now - begin + longest > left_s * 1e9:
            break
        generator.shuffle(order)
        for name in order:
            visits[name].append(_visit(name, calls[name], plan.runs[name], timer))
            report.step()
        longest, now = max(longest, clock() - now), clock()
    report.end()
    return visits


def _again(
    calls: Mapping[str, Call],
    plan: VisitPlan,
    visits: dict[str, list[_Visit]],
    seed: int,
    end: int,
    timer: _Timer,
) -> int:
    """Makes disturbed visits again, until the clock says `end`; how many were made quieter."""
    generator, quieter = random.Random(seed), set[tuple[str, int]]()
    total = sum(map(len, visits.values()))
    for _ in range(AGAIN):
        places = [(n, i) for n, row in visits.items() for i, v in enumerate(row) if v.disturbed]
        if not places or len(places) > MOST_AGAIN * total:
            break
        generator.shuffle(places)
        for name, place in places:
            before = visits[name][place]
            if timer.clock() + sum(before.nanoseconds) > end:
                return len(quieter)
            now = _visit(name, calls[name], plan.runs[name], timer)
            if (now.waited or 0.0) < (before.waited or 0.0):
                visits[name][place] = now
                quieter.add((name, place))
    return len(quieter)


def _disturbance(
    visits: Mapping[str, list[_Visit]], repeated: int, others: Others, *, threaded: bool
) -> Disturbance:
    every = [visit for row in visits.values() for visit in row]
    told = [(v.waited, sum(v.nanoseconds)) for v in every if v.waited is not None]
    total = sum(nanoseconds for _, nanoseconds in told)
    return Disturbance(
        others=others.others,
        stolen=others.stolen,
        threaded=threaded,
        visits=len(every),
        repeated=repeated,
        disturbed=sum(visit.disturbed for visit in every) if told else None,
        waited=sum(share * ns for share, ns in told) / total if total else None,
        throttled=others.throttled,
        spread=median(_spread(row) for row in visits.values()),
    )


def _spread(row: list[_Visit]) -> float:
    """p95 / p50 of all calls of a path."""
    times = sorted(ns for visit in row for ns in visit.nanoseconds)
    return times[int(0.95 * (len(times) - 1))] / max(times[len(times) // 2], 1)


class _Reporter:
    """Passes progress on, a few times a second at most: printing disturbs what is measured."""

    def __init__(self, progress: Progress | None, total: int, clock: Clock) -> None:
        self._progress, self._total, self._clock = progress, total, clock
        self._begin = self._last = clock() if progress else 0
        self._done = 0

    def step(self) -> None:
        self._done += 1
        if self._progress is None or (now := self._clock()) - self._last < PROGRESS_EVERY_NS:
            return
        self._last = now
        left = (now - self._begin) * (self._total - self._done) / self._done
        self._progress(self._done / self._total, left / 1e9)

    def end(self) -> None:
        if self._progress is not None:
            self._progress(1.0, 0.0)
