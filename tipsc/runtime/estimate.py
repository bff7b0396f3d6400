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

The rest. What calls of a path took beyond the model is kept, as far as it is not explained by the
device having changed. From it comes the share of its calls that a budget would hold. A path that
has run little is thought to deviate as the next faster one does: what delays a short call delays a
long one, but a slow path's trouble may be its own.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tipsc.engine.manifest import PathEntry

#: share of the (median) error by which the model follows
RATE = 0.5
#: how far the factor may be from 1, and the constant from what was profiled, as a share of that
FACTOR_SPREAD, PAUSE_SPREAD = 0.1, 0.5
#: ms; gaps below the first are no pause
GAPS_MS = (1.0, 10.0, 100.0)
#: errors above this share of the prediction, twice of three times, are a change of the device
CHANGE = 0.2
#: calls whose deviations are kept
WINDOW = 128
#: calls that what is known of a faster path counts for, beside those of the path itself
SHARED_CALLS = 10
#: calls that the profile's own spread counts for, until there are as many
PROFILED_CALLS = 20
#: share of the way back to the profile for each time that nothing was run
RELAXED = 0.1
#: bounds of the factor: beyond, the profile is of another device
MIN_FACTOR, MAX_FACTOR = 0.25, 100.0


@dataclass
class _Window:
    """The last deviations, in ms, in the order of time and by size."""

    by_time: deque[float] = field(default_factory=deque)
    by_size: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        if len(self.by_time) == WINDOW:
            self.by_size.remove(self.by_time.popleft())
        self.by_time.append(value)
        insort(self.by_size, value)

    def beyond(self, slack: float) -> int:
        """How many are larger; one, which may be a stray call, does not count."""
        return max(0, len(self.by_size) - bisect_right(self.by_size, slack) - 1)

    def share_beyond(self, slack: float) -> float:
        return self.beyond(slack) / len(self.by_size) if self.by_size else 0.0


class Estimate:
    """What is known of an engine's calls.

    Args:
        paths: with measured latencies.
        percentile: of the profile, that stands for the spread until calls have shown it.
    """

    def __init__(self, paths: Sequence[PathEntry], percentile: str) -> None:
        self.factor = 1.0
        paths = sorted(paths, key=lambda path: path.speed_key)
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
        self._waiting: deque[tuple[str, float]] = deque()
        self._own: dict[str, _Window] = {}

    def median_ms(self, path: str, gap_ms: float) -> float:
        """What a call is most likely to take."""
        return self._model(self._medians[path], _place(gap_ms))

    def _model(self, p: float, place: int) -> float:
        return self.factor * p + self.constants[place]

    def shares_in_time(self, gap_ms: float, budget_ms: float) -> dict[str, float]:
        """Share of calls of each path that would take no longer than a budget, 0..1."""
        shares: dict[str, float] = {}
        place = _place(gap_ms)
        faster = _Window()  # of the nearest faster path that has run
        for path, p in self._medians.items():
            slack = budget_ms - self._model(p, place)
            late = SHARED_CALLS * faster.share_beyond(slack)
            count: float = SHARED_CALLS
            own = self._own.get(path)
            if own is not None:
                late, count = late + own.beyond(slack), count + len(own.by_size)
                faster = own
            unseen = PROFILED_CALLS - len(faster.by_size)
            if unseen > 0 and slack < self.factor * self._spreads[path]:
                late, count = late + unseen, count + unseen
            shares[path] = 1 - late / count
        return shares

    def learn(self, path: str, gap_ms: float, elapsed_ms: float) -> None:
        """From one call."""
        place = _place(gap_ms)
        self._recent.append((self._medians[path], place, elapsed_ms))
        error = _middle([ms / self._model(p, at) - 1.0 for p, at, ms in self._recent])
        if abs(error) > CHANGE:  # what the last calls took is the change, and no deviation
            self._waiting.clear()
        else:
            self._waiting.append((path, elapsed_ms - self.median_ms(path, gap_ms)))
            if len(self._waiting) > 2:
                name, deviation = self._waiting.popleft()
                self._own.setdefault(name, _Window()).add(deviation)
        p = self._medians[path]
        self._move(place, p, RATE * error * self._model(p, place))

    def relax(self, gap_ms: float) -> None:
        """Nothing ran, because nothing seemed to fit: the device may have recovered."""
        place = _place(gap_ms)
        self.factor += RELAXED * min(0.0, 1.0 - self.factor)
        excess = self.constants[place] - self._profiled[place]
        self.constants[place] -= RELAXED * max(0.0, excess)

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
