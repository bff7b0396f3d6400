"""How long the next call of a path will take, learned from the calls of all paths.

The model. After a gap g since the last call, a path with the profiled median p takes about

    t = s p + c(g)

s is how much slower the device is than when it was profiled; c is what a call after such a gap
costs beside, whatever the path: caches and clock have to come back. Gaps are told apart by orders
of magnitude (below 1 ms, 10 ms, 100 ms, above), each with a c of its own.

Learning. A call that took e more than predicted moves both, s p by a share a of it and c by the
rest, with a = (S p)^2 / ((S p)^2 + C^2): S and C are how far s and c may be from what was profiled.
So back to back, where nothing is paid for a pause, s takes all. After a gap most goes to c: where
that is wrong, faster paths run, and calls of different paths tell both apart, while a factor that
is too large would keep slower paths from being run at all. What moves both is the median error of
the last three calls, so that one stray call moves nothing, by RATE of it each time.

The spread. The next call is like one of the last WINDOW: each of them, which took t on a path of
median q, would have taken t + s (p - q) on one of median p. The share of those within a budget is
the share of the path's calls that keep it. Bursts, drift and strays need no model of their own
then; a device that has recovered is believed after WINDOW calls.

A call is kept as the line r + s p, with r = t - s q, so one window serves all paths; and since s is
above 0, a path with a larger median never keeps a budget more often. By that the best path that
keeps it is found by halving.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tipsc.engine.manifest import PathEntry

#: share of the (median) error by which the model follows
RATE = 0.5
#: how far the factor may be from 1, and the constant from what was profiled, as a share of that
FACTOR_SPREAD, PAUSE_SPREAD = 0.1, 0.5
#: ms; gaps below the first are no pause
GAPS_MS = (1.0, 10.0, 100.0)
#: calls after like gaps that the next one may be like
WINDOW = 100
#: calls that the profile's own spread counts for, until there are as many
PROFILED_CALLS = 50
#: share of the way back to the profile, and of the calls forgotten, each time that nothing was run
RELAXED = 0.1
#: bounds of the factor: beyond, the profile is of another device
MIN_FACTOR, MAX_FACTOR = 0.25, 100.0


@dataclass(frozen=True)
class Chances:
    """What would keep a budget after a gap.

    Attributes:
        budget_ms: that is to be kept.
        limits_ms: of each call of the window the largest median that would have kept it, ascending.
        factor, constant_ms: of the model.
    """

    budget_ms: float
    limits_ms: Sequence[float]
    factor: float
    constant_ms: float

    def share(self, median_ms: float, slow_ms: float) -> float:
        """Share of calls in time, 0..1.

        Args:
            median_ms: of the path, as profiled.
            slow_ms: the percentile of its profile that stands for calls that were not seen.
        """
        count = len(self.limits_ms)
        late = bisect_left(self.limits_ms, median_ms)
        unseen = PROFILED_CALLS - count
        if unseen > 0:
            slow = self.factor * slow_ms + self.constant_ms > self.budget_ms
            late, count = late + unseen * slow, PROFILED_CALLS
        return 1 - late / count


class _Window:
    """The last calls after like gaps, as lines r + s p; the largest medians within a budget."""

    def __init__(self) -> None:
        self._r, self._s = np.full(WINDOW, np.nan), np.ones(WINDOW)
        self._oldest = self._count = 0

    def add(self, r: float, s: float) -> None:
        if self._count == WINDOW:
            self._forget()
        place = (self._oldest + self._count) % WINDOW
        self._r[place], self._s[place] = r, s
        self._count += 1

    def relax(self) -> None:
        for _ in range(math.ceil(RELAXED * self._count)):
            self._forget()

    def limits_ms(self, budget_ms: float) -> list[float]:
        limits = (budget_ms - self._r) / self._s
        limits.sort()  # what is not a number goes last
        found: list[float] = limits[: self._count].tolist()
        return found

    def _forget(self) -> None:
        self._r[self._oldest] = np.nan
        self._oldest = (self._oldest + 1) % WINDOW
        self._count -= 1


class Estimate:
    """What is known of an engine's calls.

    Args:
        paths: with measured latencies.
    """

    def __init__(self, paths: Sequence[PathEntry]) -> None:
        self.factor = 1.0
        self._medians = {p.id: p.latency.p50_ms for p in paths if p.latency}
        middle = sorted(self._medians.values())[len(self._medians) // 2]
        pauses = [p.latency.pause_ms for p in paths if p.latency and p.latency.pause_ms is not None]
        pause = max(0.0, sorted(pauses)[len(pauses) // 2]) if pauses else 0.0
        spread = PAUSE_SPREAD * pause if pauses else middle
        self._profiled = (0.0, *(pause for _ in GAPS_MS))
        self.constants = list(self._profiled)
        self._spread_of_constant = [0.0, *(spread for _ in GAPS_MS)]
        self._lowest = -0.5 * min(self._medians.values())
        self._recent: deque[tuple[float, int, float]] = deque(maxlen=3)
        # By gap: after a pause calls are of another kind.
        self._windows = [_Window() for _ in self._profiled]

    def median_ms(self, path: str, gap_ms: float) -> float:
        """What a call is most likely to take."""
        return self._model(self._medians[path], _place(gap_ms))

    def constant_ms(self, gap_ms: float) -> float:
        """What a call after such a gap costs beside, whatever the path."""
        return self.constants[_place(gap_ms)]

    def _model(self, p: float, place: int) -> float:
        return self.factor * p + self.constants[place]

    def chances(self, gap_ms: float, budget_ms: float) -> Chances:
        """What would keep a budget, if the next call comes after such a gap."""
        place = _place(gap_ms)
        limits = self._windows[place].limits_ms(budget_ms)
        return Chances(budget_ms, limits, self.factor, self.constants[place])

    def learn(self, path: str, gap_ms: float, elapsed_ms: float) -> None:
        """From one call."""
        place, p = _place(gap_ms), self._medians[path]
        self._recent.append((p, place, elapsed_ms))
        error = _middle([ms / self._model(q, at) - 1.0 for q, at, ms in self._recent])
        self._move(place, p, RATE * error * self._model(p, place))
        self._windows[place].add(elapsed_ms - self.factor * p, self.factor)

    def relax(self, gap_ms: float) -> None:
        """Nothing ran, because nothing seemed to fit: the device may have recovered."""
        place = _place(gap_ms)
        self.factor += RELAXED * min(0.0, 1.0 - self.factor)
        excess = self.constants[place] - self._profiled[place]
        self.constants[place] -= RELAXED * max(0.0, excess)
        self._keep_positive()
        self._windows[place].relax()

    def _move(self, place: int, p: float, by_ms: float) -> None:
        factor, constant = (FACTOR_SPREAD * p) ** 2, self._spread_of_constant[place] ** 2
        share = factor / (factor + constant)
        moved = self.factor + share * by_ms / p
        self.factor = min(max(moved, MIN_FACTOR), MAX_FACTOR)
        self.constants[place] += (1 - share) * by_ms
        self._keep_positive()

    def _keep_positive(self) -> None:
        """The fastest path takes half of its time at least, whatever the gap."""
        lowest = self.factor * self._lowest
        self.constants = [max(constant, lowest) for constant in self.constants]


def _middle(errors: Sequence[float]) -> float:
    """The median of three; of two the smaller, since one may be a stray; the only one."""
    return min(errors, key=abs) if len(errors) < 3 else sorted(errors)[1]


def _place(gap_ms: float) -> int:
    return bisect_right(GAPS_MS, gap_ms) if not math.isnan(gap_ms) else 0
