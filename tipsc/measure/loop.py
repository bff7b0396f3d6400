"""The measuring protocol: how long calls take, measured so that they can be ranked.

It times plain callables and knows nothing of models or backends. All calls are visited in rounds,
each round in a new random order, so that a slow moment of the machine hits all alike. A visit is
one untimed call (the caches belong to another path before it) and then a batch of timed ones. The
thread is pinned and garbage collection is off. Rank by p10, the statistic that repeats best on a
shared machine, and treat gaps below the noise floor as ties.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tipsc.errors import ProfileError, TipscError
from tipsc.measure.pinning import pinned

Call = Callable[[], object]
Clock = Callable[[], int]
Progress = Callable[[float, float], None]
Batches = list[list[int]]  # for each round, the nanoseconds of its batch

MIN_ROUNDS = 4  # each half of the rounds still sees a call twice
MIN_RUNS = 2
MAX_RUNS = 1000
PROGRESS_EVERY_NS = 200_000_000


@dataclass(frozen=True)
class Settings:
    """How to measure: the fields of :class:`tipsc.profile.Protocol`, not checked."""

    warm_up_ms: float
    rounds: int
    batch_ms: float
    time_limit_s: float
    cores: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Times:
    """Every single time; see :class:`tipsc.profile.Samples`."""

    batches: Mapping[str, Batches]
    held: tuple[int, ...]
    seconds: float


def collect_times(
    calls: Mapping[str, Call],
    protocol: Settings,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Times:
    """Time every call and keep each single time; see :func:`tipsc.profile.collect`."""
    if not calls:
        raise ProfileError("there is nothing to measure", fix="give at least one call")
    begin = clock()
    with pinned(protocol.cores) as held, _no_garbage_collection():
        estimates_ms = {name: _warm_up(name, calls[name], protocol, clock) for name in calls}
        left_s = protocol.time_limit_s - (clock() - begin) / 1e9
        plan = make_plan(estimates_ms, protocol, left_s)
        samples = _rounds(calls, plan, protocol.seed, left_s, progress, clock)
    return Times(samples, held, seconds=(clock() - begin) / 1e9)


@dataclass(frozen=True)
class Plan:
    """Timed runs of one visit by name, how many rounds, and the seconds they should take."""

    runs: Mapping[str, int]
    rounds: int
    seconds: float


def make_plan(estimates_ms: Mapping[str, float], protocol: Settings, left_s: float) -> Plan:
    """Spread `left_s` seconds over the calls: shorter batches first, then fewer rounds."""

    def plan(batch_ms: float, rounds: int) -> Plan:
        runs = {
            name: min(max(round(batch_ms / max(estimate, 1e-6)), MIN_RUNS), MAX_RUNS)
            for name, estimate in estimates_ms.items()
        }
        round_ms = sum(estimates_ms[name] * (runs[name] + 1) for name in runs)
        return Plan(runs, rounds, rounds * round_ms / 1e3)

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


def _warm_up(name: str, call: Call, protocol: Settings, clock: Clock) -> float:
    """Run a call until it is warm; the fastest run, in milliseconds, is the first estimate."""
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


def _rounds(
    calls: Mapping[str, Call],
    plan: Plan,
    seed: int,
    left_s: float,
    progress: Progress | None,
    clock: Clock,
) -> dict[str, Batches]:
    """By name, for each round the nanoseconds of its batch."""
    generator = random.Random(seed)
    order = list(calls)
    samples: dict[str, Batches] = {name: [] for name in calls}
    report = _Reporter(progress, plan.rounds * len(calls), clock)
    begin = now = clock()
    longest = 0
    for done in range(plan.rounds):
        # The first estimate may have been too low: stop when another round would not fit.
        if done >= MIN_ROUNDS and now - begin + longest > left_s * 1e9:
            break
        generator.shuffle(order)
        for name in order:
            _batch(name, calls[name], 1, clock)
            samples[name].append(_batch(name, calls[name], plan.runs[name], clock))
            report.step()
        longest, now = max(longest, clock() - now), clock()
    report.end()
    return samples


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
