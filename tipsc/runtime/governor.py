"""Pick a path for a time budget, and follow the device as it slows down and recovers.

The rule. Each call gives a ratio r = elapsed time / profiled p50 of the path that ran. With m the
median of the last three ratios, the slowdown s (at first 1) moves towards m:

    s <- s + 0.7 (m - s)  if m > s      the device slows: follow at once, or budgets are missed
    s <- s + 0.1 (m - s)  otherwise     it recovers: wait and see, a wrong guess costs a budget

The median makes one stray call (a page fault, another process) count for nothing. The path to run
is the most accurate whose profiled latency times s is within the budget. When slowing leaves none,
the fastest runs all the same: an application under way is better served late than never, and
without a call the estimate could not recover.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tipsc.engine.manifest import PathEntry
from tipsc.errors import BudgetError
from tipsc.runtime.pick import pick

UP, DOWN, WINDOW = 0.7, 0.1, 3
#: bounds of the slowdown: beyond, the profile is of another device
MIN_SLOWDOWN, MAX_SLOWDOWN = 0.25, 100.0


class Runner(Protocol):
    """An :class:`tipsc.runtime.Engine`, or what has its `paths` and `run`."""

    @property
    def paths(self) -> tuple[PathEntry, ...]: ...

    def run(self, x: np.ndarray | Sequence[np.ndarray], *, path: PathEntry | str) -> Any: ...


@dataclass(frozen=True)
class Result:
    """Output of one call, the path that gave it, and the time that it took and had, in ms."""

    output: Any
    path: PathEntry
    elapsed_ms: float
    budget_ms: float

    @property
    def in_time(self) -> bool:
        return self.elapsed_ms <= self.budget_ms


class Governor:
    """Runs an engine under time budgets.

    Args:
        engine: with measured latencies.
        percentile: which latency has to fit: ``p10``, ``p50`` or ``p95``.
        clock: seconds, monotone; replaced in simulations.
    """

    def __init__(
        self,
        engine: Runner,
        *,
        percentile: str = "p95",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._engine = engine
        self._percentile = percentile
        self._clock = clock
        self._slowdown = 1.0
        self._ratios: deque[float] = deque(maxlen=WINDOW)
        self._lock = threading.Lock()

    @property
    def slowdown(self) -> float:
        """How much slower the device is now than when it was profiled."""
        return self._slowdown

    def pick(self, *, budget_ms: float) -> PathEntry:
        """The path that :meth:`run` would run now.

        Raises:
            BudgetError: no path fits, not even on a device as fast as when it was profiled.
        """
        paths = self._engine.paths
        try:
            return pick(paths, budget_ms, percentile=self._percentile, slowdown=self._slowdown)
        except BudgetError:
            if self._slowdown > 1:
                pick(paths, budget_ms, percentile=self._percentile)  # raises: never could fit
                return min(paths, key=lambda path: path.speed_key)
            raise

    def run(self, x: np.ndarray | Sequence[np.ndarray], *, budget_ms: float) -> Result:
        """Pick, run, time, learn.

        Raises:
            BudgetError: as :meth:`pick`.
            DataError: as :meth:`tipsc.runtime.Context.run`.
        """
        path = self.pick(budget_ms=budget_ms)
        start = self._clock()
        output = self._engine.run(x, path=path)
        elapsed_ms = (self._clock() - start) * 1e3
        self.observe(path, elapsed_ms)
        return Result(output, path, elapsed_ms, budget_ms)

    def observe(self, path: PathEntry, elapsed_ms: float) -> None:
        """Learn from a call that was timed elsewhere; paths without a latency teach nothing."""
        if path.latency is None:
            return
        with self._lock:
            self._ratios.append(elapsed_ms / path.latency.p50_ms)
            target = min(max(statistics.median(self._ratios), MIN_SLOWDOWN), MAX_SLOWDOWN)
            rate = UP if target > self._slowdown else DOWN
            self._slowdown += rate * (target - self._slowdown)
