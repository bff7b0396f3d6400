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
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Sequence

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


class _Window:
    """Times in ms, in the order in which they came and by size."""

    def __init__(self) -> None:
        self._by_age: deque[float] = deque()
        self._by_size: list[float] = []

    def __len__(self) -> int:
        return len(self._by_size)

    def add(self, ms: float) -> None:
        if len(self) >= WINDOW:
            self.forget(1)
        self._by_age.append(ms)
        insort(self._by_size, ms)

    def forget(self, count: int) -> None:
        """The oldest."""
        for _ in range(min(count, len(self))):
            oldest = self._by_age.popleft()
            del self._by_size[bisect_right(self._by_size, oldest) - 1]

    def beyond(self, ms: float) -> int:
        return len(self._by_size) - bisect_right(self._by_size, ms)


class Estimate:
    """What is known of an engine's calls.

    Args:
        paths: with measured latencies.
        percentile: of the profile, that stands for the spread until calls have shown it.
    """

    def __init__(self, paths: Sequence[PathEntry], percentile: str) -> None:
        self.factor = 1.0
        self._medians = {p.id: p.latency.p50_ms for p in paths if p.latency}
        self._spreads = {
            p.id: getattr(p.latency, f"{percentile}_ms") - p.latency.p50_ms
            for p in paths
            if p.latency
        }
        middle = sorted(self._medians.values())[len(self._medians) // 2]
        pauses = [p.latency.pause_ms for p in paths if p.latency and p.latency.pause_ms is not None]
        pause = max(0.0, sorted(pauses)[len(pauses) // 2]) if pauses else 0.0
        spread = PAUSE_SPREAD * pause if pauses else middle
        self._profiled = (0.0, *(pause for _ in GAPS_MS))
        self.constants = list(self._profiled)
        self._spread_of_constant = [0.0, *(spread for _ in GAPS_MS)]
        self._recent: deque[tuple[float, int, float]] = deque(maxlen=3)
        # By gap: after a pause calls are of another kind.
        self._windows = [{path: _Window() for path in self._medians} for _ in self._profiled]

    def median_ms(self, path: str, gap_ms: float) -> float:
        """What a call is most likely to take."""
        return self._model(self._medians[path], _place(gap_ms))

    def _model(self, p: float, place: int) -> float:
        return self.factor * p + self.constants[place]

    def shares_in_time(self, gap_ms: float, budget_ms: float) -> dict[str, float]:
        """Share of calls of each path that would take no longer than a budget, 0..1."""
        place = _place(gap_ms)
        shares: dict[str, float] = {}
        for path, window in self._windows[place].items():
            late, count = window.beyond(budget_ms), len(window)
            unseen = PROFILED_CALLS - count
            if unseen > 0:
                slow = self._model(self._medians[path], place) + self.factor * self._spreads[path]
                late, count = late + unseen * (slow > budget_ms), PROFILED_CALLS
            shares[path] = 1 - late / count
        return shares

    def learn(self, path: str, gap_ms: float, elapsed_ms: float) -> None:
        """From one call."""
        place, p = _place(gap_ms), self._medians[path]
        self._recent.append((p, place, elapsed_ms))
        error = _middle([ms / self._model(q, at) - 1.0 for q, at, ms in self._recent])
        self._move(place, p, RATE * error * self._model(p, place))
        for other, window in self._windows[place].items():
            window.add(elapsed_ms + self.factor * (self._medians[other] - p))

    def relax(self, gap_ms: float) -> None:
        """Nothing ran, because nothing seemed to fit: the device may have recovered."""
        place = _place(gap_ms)
        self.factor += RELAXED * min(0.0, 1.0 - self.factor)
        excess = self.constants[place] - self._profiled[place]
        self.constants[place] -= RELAXED * max(0.0, excess)
        for window in self._windows[place].values():
            window.forget(math.ceil(RELAXED * len(window)))

    def _move(self, place: int, p: float, by_ms: float) -> None:
        factor, constant = (FACTOR_SPREAD * p) ** 2, self._spread_of_constant[place] ** 2
        share = factor / (factor + constant)
        moved = self.factor + share * by_ms / p
        self.factor = min(max(moved, MIN_FACTOR), MAX_FACTOR)
        lowest = -0.5 * self.factor * min(self._medians.values())
        self.constants[place] = max(self.constants[place] + (1 - share) * by_ms, lowest)


def _middle(errors: Sequence[float]) -> float:
    """The median of three; of two the smaller, since one may be a stray; the only one."""
    return min(errors, key=abs) if len(errors) < 3 else sorted(errors)[1]


def _place(gap_ms: float) -> int:
    return bisect_right(GAPS_MS, gap_ms) if not math.isnan(gap_ms) else 0
