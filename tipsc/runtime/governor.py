"""Pick a path for a time budget, and follow the device as it slows down, pauses and recovers.

:mod:`tipsc.runtime.rule` decides; here are the clock, the lock and the engine.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Protocol

import numpy as np

from tipsc.engine.manifest import PathEntry
from tipsc.errors import BudgetError, PathError, UsageError, near
from tipsc.runtime.call import CallRecord, Result
from tipsc.runtime.explain import Explanation, explain
from tipsc.runtime.pick import PERCENTILES, check_budget, of_batch
from tipsc.runtime.rule import Decision, Mode, Reason, Rule

FALLBACKS = ("raise", "fastest")


class Runner(Protocol):
    """An :class:`tipsc.runtime.Engine`, or what has its `paths` and `run`."""

    @property
    def paths(self) -> tuple[PathEntry, ...]: ...

    def run(self, x: np.ndarray | Sequence[np.ndarray], *, path: PathEntry | str) -> Any: ...


class Governor:
    """Runs an engine under time budgets; may be used by several threads.

    No call waits for another one: its lock is held while it decides and while it learns, some
    microseconds, and never while a path runs.

    Args:
        engine: with measured latencies.
        percentile: which latency of the profile has to fit, until calls have shown what they take:
            ``p10``, ``p50`` or ``p95``.
        fallback: what happens where no path is likely to fit, be it that the budget is small or
            that the device has become slow: ``raise`` a BudgetError, or run the ``fastest``.
        batch: examples of its calls: each size has a governor of its own. None: as few as any path
            takes.
        hysteresis: calls in which a better path was to run before it does; a faster one runs at
            once. For calls that are alike, where a change of path can be seen.
        on_call: is given each result of :meth:`run`, in the thread of the call and outside of the
            lock. What it raises, :meth:`run` raises.
        clock: seconds, monotone; replaced in simulations.

    Raises:
        BudgetError: no path has a measured latency.
        UsageError: no path takes so many examples at once, or an argument is out of range.
    """

    def __init__(
        self,
        engine: Runner,
        *,
        percentile: str = "p95",
        fallback: str = "raise",
        batch: int | None = None,
        hysteresis: int = 0,
        on_call: Callable[[CallRecord], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        for name, given, known in (
            ("percentile", percentile, PERCENTILES), ("fallback", fallback, FALLBACKS)
        ):  # fmt: skip
            if given not in known:
                raise UsageError(f"no {name} {given!r}", fix=near(str(given), known))
        if isinstance(hysteresis, bool) or not isinstance(hysteresis, int) or hysteresis < 0:
            raise UsageError(
                "this is no number of calls",
                where="hysteresis",
                expected="an integer, at least 0",
                got=repr(hysteresis),
            )
        known_paths = [path for path in of_batch(engine.paths, batch) if path.latency]
        if not known_paths:
            raise BudgetError(
                "no path of this engine has a measured latency", fix="build it with a profile"
            )
        self._engine = engine
        self._raises = fallback == "raise"
        self._clock, self._on_call = clock, on_call
        self._paths = {path.id: path for path in known_paths}
        self._rule = Rule(known_paths, percentile, hysteresis)
        self._ended: float | None = None
        self._lock = threading.Lock()

    @property
    def slowdown(self) -> float:
        """How many times slower the device is now than when it was profiled."""
        return self._rule.estimate.factor

    @property
    def pause_ms(self) -> float:
        """What a call costs beside, after gaps as the present one; 0 for calls back to back."""
        return self._rule.estimate.constant_ms(self._gap())

    def pick(self, *, budget_ms: float | None = None, per_second: float | None = None) -> PathEntry:
        """The path that :meth:`run` would run now.

        Raises:
            BudgetError: no path is likely to fit; only with ``fallback="raise"``.
            UsageError: not exactly one of both is given, or it is no positive number.
        """
        with self._lock:
            return self._choose(budget_ms, per_second, None).path

    def run(
        self,
        x: Any,
        *,
        budget_ms: float | None = None,
        per_second: float | None = None,
        path: PathEntry | str | None = None,
    ) -> Result:
        """Pick, run, time, learn.

        Args:
            x: as :meth:`tipsc.runtime.Context.run` takes it.
            budget_ms: the call should end within it.
            per_second: in the mean so many calls a second should be possible; one that took longer
                is made up for by those after it.
            path: runs whatever the others say. A `budget_ms` beside it only says what is late.

        Raises:
            BudgetError, UsageError: as :meth:`pick`.
            PathError: the engine has no such path with a latency.
            DataError: as :meth:`tipsc.runtime.Context.run`.
        """
        with self._lock:
            decision = self._choose(budget_ms, per_second, path)
            slowdown = self.slowdown
        start = self._clock()
        output = self._engine.run(x, path=decision.path)
        end = self._clock()
        elapsed_ms = (end - start) * 1e3
        with self._lock:
            self._rule.learn(decision, elapsed_ms)
            self._ended = end
        result = Result(
            decision.path, decision.mode, decision.reason, decision.budget_ms,
            decision.predicted_ms, elapsed_ms, decision.gap_ms, slowdown, end, output,
        )  # fmt: skip
        if self._on_call is not None:
            self._on_call(result)
        return result

    def explain(
        self, *, budget_ms: float | None = None, per_second: float | None = None
    ) -> Explanation:
        """What :meth:`run` would run now, and why not the others; changes nothing.

        Raises:
            UsageError: as :meth:`pick`.
        """
        with self._lock:
            return explain(self._rule, self._decide(budget_ms, per_second, None))

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
        if path.id not in self._paths:
            return
        now = self._clock()
        with self._lock:
            gap = max(0.0, self._gap() - float(elapsed_ms))
            self._rule.observe(path.id, gap, float(elapsed_ms))
            self._ended = now

    def _gap(self) -> float:
        """Milliseconds since the last call; before the first one, the longest of pauses."""
        return math.inf if self._ended is None else max(0.0, (self._clock() - self._ended) * 1e3)

    def _decide(
        self, budget_ms: float | None, per_second: float | None, path: PathEntry | str | None
    ) -> Decision:
        if per_second is not None:
            if budget_ms is not None or path is not None:
                raise UsageError(
                    "a call is held to one thing",
                    expected="per_second alone, budget_ms or path",
                    got="per_second and another",
                )
            return self._rule.by_throughput(self._gap(), 1e3 / check_rate(per_second))
        if path is not None:
            budget = math.inf if budget_ms is None else check_budget(budget_ms)
            return self._rule.pinned(self._gap(), self._known(path), budget)
        return self._rule.by_deadline(self._gap(), check_budget(budget_ms))

    def _choose(
        self, budget_ms: float | None, per_second: float | None, path: PathEntry | str | None
    ) -> Decision:
        decision = self._decide(budget_ms, per_second, path)
        if decision.reason is Reason.TOO_LATE and self._raises:
            self._rule.refused(decision)
            raise self._nothing_fits(decision)
        return decision

    def _known(self, path: PathEntry | str) -> PathEntry:
        name = path if isinstance(path, str) else getattr(path, "id", None)
        if name not in self._paths:
            raise PathError(
                f"the governor knows no path {name!r}", fix=near(str(name), self._paths)
            )
        return self._paths[name]

    def _nothing_fits(self, decision: Decision) -> BudgetError:
        budget, predicted = decision.budget_ms, decision.predicted_ms
        slow = f", slowed {self.slowdown:.2f}x" if self.slowdown > 1.01 else ""
        constant = self._rule.estimate.constant_ms(decision.gap_ms)
        pause = f", {constant:.3g} ms of it after a pause" if constant > 0.001 else ""
        return BudgetError(
            f"no path fits a budget of {budget:g} ms: the fastest, {decision.path.id}, takes "
            f"{predicted:.3g} ms{slow}{pause}",
            expected=f"budget_ms >= {predicted:.3g}"
            if decision.mode is Mode.DEADLINE
            else f"per_second <= {1e3 / predicted:.3g}",
            got=budget if decision.mode is Mode.DEADLINE else 1e3 / budget,
            fix='give more time, or Governor(..., fallback="fastest") to run late',
        )


def check_rate(per_second: object) -> float:
    """Calls a second as a number.

    Raises:
        UsageError: it is none, or not positive and finite.
    """
    number = isinstance(per_second, Real | np.number) and not isinstance(per_second, bool)
    if not number or not 0 < float(per_second) < math.inf:  # type: ignore[arg-type]
        raise UsageError(
            "this is no rate",
            where="per_second",
            expected="calls a second: a finite number above 0",
            got=repr(per_second),
        )
    return float(per_second)  # type: ignore[arg-type]


def _no_time(got: object) -> UsageError:
    return UsageError(
        "this is no time that a call took",
        where="elapsed_ms",
        expected="milliseconds: a finite number, at least 0",
        got=repr(got),
    )
