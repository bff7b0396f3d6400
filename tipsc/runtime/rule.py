"""Which path the next call runs: the rule of the governor, without clock, lock and engine.

:mod:`tipsc.runtime.estimate` gives for each path the share of its calls that would keep a budget
now. The three ways to ask:

Deadline. The most accurate path runs of those that keep the budget often enough: a share ENOUGH, or
as often as the best path does, since calls that are late whatever runs are no reason for a worse
answer. What the shares promise is checked by what comes: each call adds 1 - AIM to an allowance of
late calls, each late one takes 1 from it. There is one for each path, and a path that overdrew its
own rests; and one for all, and while that is overdrawn only paths run that keep the budget as often
as the best one.

Throughput. Single calls may be late, their mean may not: what calls took beyond the period is owed,
and the most accurate path runs that is likely to stay within the period and pay a CATCH_UP-th of
the debt as well.

Pinned. The path is given; the estimate learns from the call, the allowances do not.

A path that seems too slow only because all extra time was taken for a factor is tried now and then:
if it would fit were the extra time the same for all paths, after TRY_AFTER calls, and after twice
as many each time that this went wrong. With a hysteresis of N a better path than the last one runs
when it was to run in N calls before; a faster one runs at once.

The same inputs give the same decisions in every language (tests/runtime/governor_vectors.json).
Choosing takes O(log K + WINDOW) for K paths, learning O(1).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tipsc.engine.manifest import PathEntry
from tipsc.runtime.estimate import Chances, Estimate
from tipsc.runtime.pick import latency_ms, worth

#: share of calls in time that is aimed at, and that a path is expected to keep
AIM, ENOUGH = 0.985, 0.98
#: late calls that may be owed, and saved up
OWED, SAVED = -2.0, 3.0
#: where even the best path keeps the budget less often than this, the fastest runs
HOPELESS = 0.45
TRY_AFTER, TRY_AT_LAST = 100, 1600
#: calls in which a debt of time is paid, and the most that is owed, in periods
CATCH_UP, MOST_PERIODS = 8.0, 8.0


class Reason(Enum):
    """Why a path ran; the value says it in words."""

    MOST_ACCURATE = "the most accurate path that fits"
    HELD = "the same path until a better one has fitted for long enough"
    TRIED = "tried, since it may fit by now"
    LIKELIEST = "no path is sure to fit: the fastest"
    TOO_LATE = "nothing fits: the fastest path"
    PINNED = "it was asked for"

    def __str__(self) -> str:
        return self.value


class Mode(Enum):
    """What a call is held to."""

    DEADLINE = "deadline"
    THROUGHPUT = "throughput"
    PINNED = "pinned"


@dataclass(frozen=True)
class Decision:
    """What is to run, and what was known when it was chosen.

    Attributes:
        path: that is to run.
        reason: why.
        mode: what the call is held to.
        gap_ms: since the last call.
        budget_ms: of the call; the period for a throughput.
        predicted_ms: what the call is most likely to take.
    """

    path: PathEntry
    reason: Reason
    mode: Mode
    gap_ms: float
    budget_ms: float
    predicted_ms: float


class Allowances:
    """Late calls that may still come, of all paths and of each; one entry for each path.

    Each call adds to all of them. That is done when one is looked at: a call costs O(1).
    """

    def __init__(self, count: int) -> None:
        self.of_all = 0.0
        self._calls = 0
        self._own = [(0.0, 0)] * count  # as it was after so many calls

    def own(self, place: int) -> float:
        value, calls = self._own[place]
        return min(value + (self._calls - calls) * (1 - AIM), SAVED)

    def add(self, place: int | None, late: bool) -> None:
        """One call, of the path at `place`, if that has an allowance."""
        self.of_all = _bounded(self.of_all + 1 - AIM - late)
        self._calls += 1
        if late and place is not None:
            self._own[place] = (max(self.own(place) - 1, OWED), self._calls)


class Rule:
    """Chooses and learns; not safe to call from several threads at once.

    Args:
        paths: with measured latencies, at least one.
        percentile: which latency of the profile has to fit, until calls have shown what they take.
        hysteresis: calls in which a better path was to run before it does.
    """

    def __init__(
        self, paths: Sequence[PathEntry], percentile: str = "p95", hysteresis: int = 0
    ) -> None:
        self.paths = tuple(sorted(paths, key=lambda path: path.speed_key))
        self.estimate = Estimate(self.paths)
        self.front = front(paths)
        self._known = {path.id for path in paths}
        self._places = {path.id: place for place, path in enumerate(self.front)}
        self._medians = [latency_ms(path.latency, "p50") for path in self.front if path.latency]
        # A slower path is not expected to be late less often than a faster one.
        self._slow = _rising(
            [latency_ms(path.latency, percentile) for path in self.front if path.latency]
        )
        self.allowances = Allowances(len(self.front))
        self._wait, self._since = TRY_AFTER, 0
        self._hysteresis, self._last, self._held = hysteresis, len(self.front), 0
        self.owed_ms = 0.0

    def by_deadline(self, gap_ms: float, budget_ms: float) -> Decision:
        """For a call that should end within its budget, `gap_ms` after the last one."""
        chances = self.estimate.chances(gap_ms, budget_ms)
        best = self.share(chances, 0)
        if best < HOPELESS:  # all are late more often than not: no share tells them apart
            return self._fastest(Mode.DEADLINE, gap_ms, budget_ms)
        most = self._last_that_keeps(chances, self._enough(best))
        rested = (at for at in range(most, -1, -1) if self.rested(Mode.DEADLINE, at))
        place = next(rested, most)
        return self._held_or_tried(Mode.DEADLINE, place, gap_ms, budget_ms, budget_ms)

    def by_throughput(self, gap_ms: float, period_ms: float) -> Decision:
        """For calls that should take no more than a period in the mean."""
        estimate = self.estimate
        within = self._within(period_ms)
        largest = (within - estimate.constant_ms(gap_ms)) / estimate.factor
        place = bisect_right(self._medians, largest) - 1
        if place < 0:
            return self._fastest(Mode.THROUGHPUT, gap_ms, period_ms)
        return self._held_or_tried(Mode.THROUGHPUT, place, gap_ms, period_ms, within)

    def pinned(self, gap_ms: float, path: PathEntry, budget_ms: float) -> Decision:
        """For a call whose path is given."""
        predicted = self.estimate.median_ms(path.id, gap_ms)
        return Decision(path, Reason.PINNED, Mode.PINNED, gap_ms, budget_ms, predicted)

    def learn(self, decision: Decision, elapsed_ms: float) -> None:
        """From the call of a decision, which has ended."""
        self.estimate.learn(decision.path.id, decision.gap_ms, elapsed_ms)
        if decision.mode is Mode.PINNED:
            return
        place, late = self._places[decision.path.id], elapsed_ms > decision.budget_ms
        self._since += 1
        if decision.reason is Reason.TRIED:
            # One call in time is tried again at once, until the estimate has followed.
            self._wait = min(TRY_AT_LAST, 2 * self._wait) if late else TRY_AFTER
            self._since = 0 if late else self._wait
        self._held = self._held + 1 if decision.reason is Reason.HELD else 0
        self._last = place
        if decision.mode is Mode.THROUGHPUT:
            owed = self.owed_ms + elapsed_ms - decision.budget_ms
            self.owed_ms = min(max(0.0, owed), MOST_PERIODS * decision.budget_ms)
        else:
            self.allowances.add(place, late)

    def observe(self, path_id: str, gap_ms: float, elapsed_ms: float) -> None:
        """From a call that nobody chose here; of a path without a latency nothing is learned."""
        if path_id in self._known:
            self.estimate.learn(path_id, gap_ms, elapsed_ms)

    def refused(self, decision: Decision) -> None:
        """Nothing ran, since nothing was to fit."""
        self.estimate.relax(decision.gap_ms)

    def share(self, chances: Chances, place: int) -> float:
        """Share of calls in time of a path of the front."""
        return chances.share(self._medians[place], self._slow[place])

    def rested(self, mode: Mode, place: int) -> bool:
        """Whether a path of the front has not overdrawn its allowance, where there is one."""
        return mode is Mode.THROUGHPUT or self.allowances.own(place) >= 0

    def fits(self, decision: Decision, place: int) -> bool:
        """Whether a path of the front keeps what that decision was held to."""
        if decision.mode is Mode.THROUGHPUT:
            predicted = self.estimate.median_ms(self.front[place].id, decision.gap_ms)
            return predicted <= self._within(decision.budget_ms)
        chances = self.estimate.chances(decision.gap_ms, decision.budget_ms)
        best = self.share(chances, 0)
        return best >= HOPELESS and self.share(chances, place) >= self._enough(best)

    def _enough(self, best: float) -> float:
        return min(best, ENOUGH) if self.allowances.of_all >= 0 else best

    def _within(self, period_ms: float) -> float:
        return period_ms - self.owed_ms / CATCH_UP

    def _last_that_keeps(self, chances: Chances, enough: float) -> int:
        """The slowest path of the front that keeps a budget so often; the first one does."""
        low, high = 0, len(self.front)
        while high - low > 1:
            middle = (low + high) // 2
            if self.share(chances, middle) >= enough:
                low = middle
            else:
                high = middle
        return low

    def _held_or_tried(
        self, mode: Mode, place: int, gap_ms: float, budget_ms: float, within_ms: float
    ) -> Decision:
        reason = Reason.MOST_ACCURATE
        if place > self._last and self._held < self._hysteresis and self.rested(mode, self._last):
            place, reason = self._last, Reason.HELD
        elif self._may_fit(mode, place, gap_ms, within_ms):
            place, reason = place + 1, Reason.TRIED
        path = self.front[place]
        predicted = self.estimate.median_ms(path.id, gap_ms)
        return Decision(path, reason, mode, gap_ms, budget_ms, predicted)

    def _may_fit(self, mode: Mode, place: int, gap_ms: float, within_ms: float) -> bool:
        """Whether the next better path is to be tried."""
        if place + 1 >= len(self.front) or self._since < self._wait:
            return False
        if self.owed_ms > 0 if mode is Mode.THROUGHPUT else self.allowances.of_all < 1:
            return False
        extra = self.estimate.median_ms(self.front[place].id, gap_ms) - self._medians[place]
        return self._medians[place + 1] + extra <= within_ms

    def _fastest(self, mode: Mode, gap_ms: float, budget_ms: float) -> Decision:
        path = self.front[0]
        predicted = self.estimate.median_ms(path.id, gap_ms)
        reason = Reason.TOO_LATE if predicted > budget_ms else Reason.LIKELIEST
        return Decision(path, reason, mode, gap_ms, budget_ms, predicted)


def front(paths: Sequence[PathEntry]) -> tuple[PathEntry, ...]:
    """The paths that are better than all that are as fast, the fastest first.

    Of equally fast ones the best, of equally good ones the fastest; then the one with the fewest
    MACs, and the first by its id.
    """
    found: list[PathEntry] = []
    for path in sorted(paths, key=_best_of_the_fastest_first):
        if not found or worth(path) > worth(found[-1]):
            found.append(path)
    return tuple(found)


def _best_of_the_fastest_first(path: PathEntry) -> tuple[float, bool, float, int, str]:
    p50_ms, macs, name = path.speed_key
    measured, value = worth(path)
    return p50_ms, not measured, -value, macs, name


def _rising(values: Sequence[float]) -> list[float]:
    rising: list[float] = []
    for value in values:
        rising.append(max(value, rising[-1]) if rising else value)
    return rising


def _bounded(allowance: float) -> float:
    return min(max(allowance, OWED), SAVED)
