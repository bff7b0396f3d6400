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
from tipsc.runtime.account import Account
from tipsc.runtime.call import CallRecord, Result
from tipsc.runtime.demand import Demand, demanded
from tipsc.runtime.explain import Explanation, explain
from tipsc.runtime.pick import PERCENTILES, of_batch
from tipsc.runtime.refused import nothing_fits, nothing_is_as_thrifty
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
            that the device has become slow: ``raise`` a BudgetError, or run the ``fastest``. Where
            none is as thrifty as asked for, that is the thriftiest.
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
        self._spent: float | None = None
        self._lock = threading.Lock()

    @property
    def slowdown(self) -> float:
        """How many times slower the device is now than when it was profiled."""
        return self._rule.estimate.factor

    @property
    def pause_ms(self) -> float:
        """What a call costs beside, after gaps as the present one; 0 for calls back to back."""
        return self._rule.estimate.constant_ms(self._gap(self._clock()))

    def pick(
        self,
        *,
        budget_ms: float | None = None,
        per_second: float | None = None,
        budget_mj: float | None = None,
        watts: float | None = None,
    ) -> PathEntry:
        """The path that :meth:`run` would run now.

        Raises:
            BudgetError: no path is likely to fit, or none is as thrifty; only with
                ``fallback="raise"``.
            UsageError: nothing is given, what does not go together, or no positive number; no path
                has a measured energy, and one was given.
        """
        demand = demanded(budget_ms, per_second, None, budget_mj, watts)
        with self._lock:
            return self._choose(demand, self._clock()).path

    def run(
        self,
        x: Any,
        *,
        budget_ms: float | None = None,
        per_second: float | None = None,
        path: PathEntry | str | None = None,
        budget_mj: float | None = None,
        watts: float | None = None,
    ) -> Result:
        """Pick, run, time, learn.

        Args:
            x: as :meth:`tipsc.runtime.Context.run` takes it.
            budget_ms: the call should end within it.
            per_second: in the mean so many calls a second should be possible; one that took longer
                is made up for by those after it.
            path: runs whatever the others say. A `budget_ms` beside it only says what is late.
            budget_mj: millijoules that the call may take, by what its path took when the engine
                was measured. A `budget_ms` beside it is kept as well.
            watts: that calls which are held to it may take in the mean; what a call leaves, those
                after it may take. With `budget_ms` and `budget_mj` if they are given.

        Raises:
            BudgetError, UsageError: as :meth:`pick`.
            PathError: the engine has no such path with a latency.
            DataError: as :meth:`tipsc.runtime.Context.run`.
        """
        demand = demanded(budget_ms, per_second, path, budget_mj, watts)
        with self._lock:
            now_s = self._clock()
            decision = self._choose(demand, now_s)
            self._spend(demand, decision, now_s)
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
            budget_mj=decision.budget_mj,
        )  # fmt: skip
        if self._on_call is not None:
            self._on_call(result)
        return result

    def explain(
        self,
        *,
        budget_ms: float | None = None,
        per_second: float | None = None,
        budget_mj: float | None = None,
        watts: float | None = None,
    ) -> Explanation:
        """What :meth:`run` would run now, and why not the others; changes nothing.

        Raises:
            UsageError: as :meth:`pick`.
        """
        demand = demanded(budget_ms, per_second, None, budget_mj, watts)
        with self._lock:
            return explain(self._rule, self._decide(demand, self._clock()))

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
            gap = max(0.0, self._gap(now) - float(elapsed_ms))
            self._rule.observe(path.id, gap, float(elapsed_ms))
            self._ended = now

    def _gap(self, now_s: float) -> float:
        """Milliseconds since the last call; before the first one, the longest of pauses."""
        return _since(self._ended, now_s)

    def _decide(self, demand: Demand, now_s: float) -> Decision:
        gap_ms, rule = self._gap(now_s), self._rule
        if demand.mode is Mode.THROUGHPUT:
            return rule.by_throughput(gap_ms, demand.budget_ms)
        if demand.path is not None:
            return rule.pinned(gap_ms, self._known(demand.path), demand.budget_ms)
        if demand.mode is Mode.DEADLINE:
            return rule.by_deadline(gap_ms, demand.budget_ms)
        cap_mj, account = demand.budget_mj, self._account(demand)
        if demand.watts is not None:
            cap_mj = min(cap_mj, account.cap_mj(_since(self._spent, now_s), demand.watts))
        return rule.by_energy(gap_ms, demand.budget_ms, cap_mj)

    def _choose(self, demand: Demand, now_s: float) -> Decision:
        decision = self._decide(demand, now_s)
        if self._raises and decision.reason is Reason.TOO_LATE:
            self._rule.refused(decision)
            raise nothing_fits(decision, self._rule.estimate)
        if self._raises and decision.reason is Reason.TOO_COSTLY:
            raise nothing_is_as_thrifty(demand, decision)
        return decision

    def _account(self, demand: Demand) -> Account:
        if self._rule.account is None:
            raise UsageError(
                "no path of this engine has a measured energy",
                where="budget_mj" if demand.watts is None else "watts",
                fix="build or finish it on a device that has a power sensor, or give budget_ms",
            )
        return self._rule.account

    def _spend(self, demand: Demand, decision: Decision, now_s: float) -> None:
        """When a call begins: several that run at once must not spend the same watts twice."""
        if demand.watts is not None and decision.path.energy_mj is not None:
            since_ms = _since(self._spent, now_s)
            self._account(demand).spend(since_ms, demand.watts, decision.path.energy_mj)
            self._spent = now_s

    def _known(self, path: PathEntry | str) -> PathEntry:
        name = path if isinstance(path, str) else getattr(path, "id", None)
        if name not in self._paths:
            raise PathError(
                f"the governor knows no path {name!r}", fix=near(str(name), self._paths)
            )
        return self._paths[name]


def _since(before_s: float | None, now_s: float) -> float:
    """Milliseconds; inf if there is no before."""
    return math.inf if before_s is None else max(0.0, (now_s - before_s) * 1e3)


def _no_time(got: object) -> UsageError:
    return UsageError(
        "this is no time that a call took",
        where="elapsed_ms",
        expected="milliseconds: a finite number, at least 0",
        got=repr(got),
    )
