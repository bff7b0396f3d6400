"""Pick a path for a time budget, and follow the device as it slows down, pauses and recovers.

The rule. :mod:`tipsc.runtime.estimate` gives for each path the share of its calls that would keep
the budget now. The most accurate path runs of those that keep it often enough: a share ENOUGH, or
as often as the best path does, since calls that are late whatever runs are no reason for a worse
answer. What the shares promise is checked by what comes: each call adds 1 - AIM to an
allowance of late calls, each late one takes 1 from it. There is one for each path, and a path that
overdrew its own rests; and one for all, and while that is overdrawn only paths run that keep the
budget as often as the best one.

A path that seems too slow only because all extra time was taken for a factor is tried now and then:
if it would fit were the extra time the same for all paths, after TRY_AFTER calls, and after twice
as many each time that this went wrong.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

import numpy as np

from tipsc.engine.manifest import PathEntry
from tipsc.errors import BudgetError, UsageError, near
from tipsc.runtime.estimate import Estimate
from tipsc.runtime.pick import PERCENTILES, check_budget, merit, of_batch

#: share of calls in time that is aimed at, and that a path is expected to keep
AIM, ENOUGH = 0.985, 0.98
#: late calls that may be owed, and saved up
OWED, SAVED = -2.0, 3.0
#: where even the best path keeps the budget less often than this, the fastest runs
HOPELESS = 0.45
TRY_AFTER, TRY_AT_LAST = 100, 1600
FALLBACKS = ("raise", "fastest")

MOST_ACCURATE = "the most accurate path that fits"
TRIED = "tried, since it may fit by now"
LIKELIEST = "no path is sure to fit: the fastest"
TOO_LATE = "nothing fits: the fastest path"


class Runner(Protocol):
    """An :class:`tipsc.runtime.Engine`, or what has its `paths` and `run`."""

    @property
    def paths(self) -> tuple[PathEntry, ...]: ...

    def run(self, x: np.ndarray | Sequence[np.ndarray], *, path: PathEntry | str) -> Any: ...


@dataclass(frozen=True)
class Result:
    """One call.

    Attributes:
        output: of the path.
        path: that ran.
        elapsed_ms: that it took.
        budget_ms: that it had.
        predicted_ms: what it was most likely to take.
        reason: why this path ran.
    """

    output: Any
    path: PathEntry
    elapsed_ms: float
    budget_ms: float
    predicted_ms: float
    reason: str

    @property
    def in_time(self) -> bool:
        return self.elapsed_ms <= self.budget_ms


@dataclass(frozen=True)
class _Choice:
    path: PathEntry
    reason: str
    gap_ms: float
    predicted_ms: float


class Governor:
    """Runs an engine under time budgets; may be used by several threads.

    Args:
        engine: with measured latencies.
        percentile: which latency of the profile has to fit, until calls have shown what they take:
            ``p10``, ``p50`` or ``p95``.
        fallback: what happens where no path is likely to fit, be it that the budget is small or
            that the device has become slow: ``raise`` a BudgetError, or run the ``fastest``.
        batch: examples of its calls: each size has a governor of its own. None: as few as any path
            takes.
        clock: seconds, monotone; replaced in simulations.

    Raises:
        BudgetError: no path has a measured latency.
        UsageError: no path takes so many examples at once.
    """

    def __init__(
        self,
        engine: Runner,
        *,
        percentile: str = "p95",
        fallback: str = "raise",
        batch: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        for name, given, known in (
            ("percentile", percentile, PERCENTILES), ("fallback", fallback, FALLBACKS)
        ):  # fmt: skip
            if given not in known:
                raise UsageError(f"no {name} {given!r}", fix=near(str(given), known))
        known_paths = [path for path in of_batch(engine.paths, batch) if path.latency]
        if not known_paths:
            raise BudgetError(
                "no path of this engine has a measured latency", fix="build it with a profile"
            )
        self._engine = engine
        self._raises = fallback == "raise"
        self._clock = clock
        self._estimate = Estimate(known_paths, percentile)
        self._best_first = sorted(known_paths, key=merit, reverse=True)
        self._fastest = min(known_paths, key=lambda path: path.speed_key)
        self._allowance = 0.0
        self._own_allowances = dict.fromkeys((path.id for path in known_paths), 0.0)
        self._ended: float | None = None
        self._wait, self._since = TRY_AFTER, 0
        self._tried: str | None = None
        self._lock = threading.Lock()

    @property
    def slowdown(self) -> float:
        """How many times slower the device is now than when it was profiled."""
        return self._estimate.factor

    @property
    def pause_ms(self) -> float:
        """What a call costs beside, after gaps as the present one; 0 for calls back to back."""
        return self._estimate.median_ms(self._fastest.id, self._gap()) - (
            self.slowdown * self._fastest.latency.p50_ms  # type: ignore[union-attr]
        )

    def pick(self, *, budget_ms: float) -> PathEntry:
        """The path that :meth:`run` would run now.

        Raises:
            BudgetError: no path is likely to fit; only with ``fallback="raise"``.
            UsageError: `budget_ms` is no positive number.
        """
        with self._lock:
            return self._choose(check_budget(budget_ms)).path

    def run(self, x: Any, *, budget_ms: float) -> Result:
        """Pick, run, time, learn.

        Raises:
            BudgetError, UsageError: as :meth:`pick`.
            DataError: as :meth:`tipsc.runtime.Context.run`.
        """
        with self._lock:
            choice = self._choose(check_budget(budget_ms))
        start = self._clock()
        output = self._engine.run(x, path=choice.path)
        end = self._clock()
        elapsed_ms = (end - start) * 1e3
        with self._lock:
            self._learn(choice, elapsed_ms, budget_ms, end)
        return Result(
            output, choice.path, elapsed_ms, budget_ms, choice.predicted_ms, choice.reason
        )

    def observe(self, path: PathEntry, elapsed_ms: float) -> None:
        """Learn from a call that was timed elsewhere and has just ended.

        Paths without a latency, and those for other batches, teach nothing.

        Raises:
            UsageError: `elapsed_ms` is no time: not a number, not finite, negative.
        """
        if isinstance(elapsed_ms, bool) or not isinstance(elapsed_ms, Real | np.number):
            raise _no_time(elapsed_ms)
        if not (math.isfinite(elapsed_ms) and elapsed_ms >= 0):
            raise _no_time(elapsed_ms)
        if path.id not in self._own_allowances:
            return
        now = self._clock()
        with self._lock:
            gap = max(0.0, self._gap() - float(elapsed_ms))
            self._estimate.learn(path.id, gap, float(elapsed_ms))
            self._ended = now

    def _gap(self) -> float:
        """Milliseconds since the last call; before the first one, the longest of pauses."""
        return math.inf if self._ended is None else max(0.0, (self._clock() - self._ended) * 1e3)

    def _choose(self, budget_ms: float) -> _Choice:
        gap, estimate = self._gap(), self._estimate
        known = estimate.shares_in_time(gap, budget_ms)
        shares = [known[path.id] for path in self._best_first]
        best = max(shares)
        if best < HOPELESS:  # all are late more often than not: no share tells them apart
            place, reason = self._best_first.index(self._fastest), LIKELIEST
        else:
            enough = min(best, ENOUGH) if self._allowance >= 0 else best
            fitting = [i for i, share in enumerate(shares) if share >= enough]
            rested = (i for i in fitting if self._own_allowances[self._best_first[i].id] >= 0)
            place, reason = next(rested, fitting[0]), MOST_ACCURATE
        path = self._best_first[place]
        predicted = estimate.median_ms(path.id, gap)
        if reason == LIKELIEST and predicted > budget_ms:
            reason = TOO_LATE
            if self._raises:
                estimate.relax(gap)
                raise BudgetError(
                    f"no path fits a budget of {budget_ms:g} ms: the fastest, {path.id}, takes "
                    f"{predicted:.3g} ms" + self._condition(gap),
                    expected=f"budget_ms >= {predicted:.3g}",
                    got=budget_ms,
                    fix='give more time, or Governor(..., fallback="fastest") to run late',
                )
        if place and self._since >= self._wait and self._allowance >= 1:
            better = self._best_first[place - 1]
            extra = predicted - path.latency.p50_ms  # type: ignore[union-attr]
            if better.latency.p50_ms + extra <= budget_ms:  # type: ignore[union-attr]
                predicted = estimate.median_ms(better.id, gap)
                return _Choice(better, TRIED, gap, predicted)
        return _Choice(path, reason, gap, predicted)

    def _condition(self, gap: float) -> str:
        slow = f", slowed {self.slowdown:.2f}x" if self.slowdown > 1.01 else ""
        constant = self.pause_ms
        return slow + (f", {constant:.3g} ms of it after a pause" if constant > 0.001 else "")

    def _learn(self, choice: _Choice, elapsed_ms: float, budget_ms: float, end: float) -> None:
        self._estimate.learn(choice.path.id, choice.gap_ms, elapsed_ms)
        self._ended = end
        self._since += 1
        late = elapsed_ms > budget_ms
        if choice.reason == TRIED:
            # One call in time is tried again at once, until the estimate has followed.
            self._wait = min(TRY_AT_LAST, 2 * self._wait) if late else TRY_AFTER
            self._since = 0 if late else self._wait
        self._allowance = _bounded(self._allowance + 1 - AIM - late)
        for path, own in self._own_allowances.items():
            taken = late and path == choice.path.id
            self._own_allowances[path] = _bounded(own + 1 - AIM - taken)


def _bounded(allowance: float) -> float:
    return min(max(allowance, OWED), SAVED)


def _no_time(got: object) -> UsageError:
    return UsageError(
        "this is no time that a call took",
        where="elapsed_ms",
        expected="milliseconds: a finite number, at least 0",
        got=repr(got),
    )
