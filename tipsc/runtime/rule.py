"""Which path the next call runs: the rule of the governor, without clock, lock and engine.

:mod:`tipsc.runtime.estimate` gives for each path the share of its calls that would keep a budget
now. The four ways to ask:

Deadline. The most accurate path runs of those that keep the budget often enough: a share ENOUGH, or
as often as the best path does, since calls that are late whatever runs are no reason for a worse
answer. What the shares promise is checked by what comes (:mod:`tipsc.runtime.allowances`): each
call adds 1 - AIM to an allowance of late calls, each late one takes 1 from it. There is one for
each path, and a path that overdrew its own rests; and one for all, and while that is overdrawn only
paths run that keep the budget as often as the best one.

Throughput. Single calls may be late, their mean may not: what calls took beyond the period is owed,
and the most accurate path runs that is likely to stay within the period and pay a CATCH_UP-th of
the debt as well.

Energy. As for a deadline, among the paths whose calls take no more energy than a cap: one that was
asked for, or what a power leaves for this call (:mod:`tipsc.runtime.account`). What a call takes is
what was measured on the target, whatever the device does now. Where no path is as thrifty, the
thriftiest is named.

Pinned. The path is given; the estimate learns from the call, the allowances do not.

A path that seems too slow only because all extra time was taken for a factor is tried now and then:
if it would fit were the extra time the same for all paths, after TRY_AFTER calls, and after twice
as many each time that this went wrong. With a hysteresis of N a better path than the last one runs
when it was to run in N calls before; a faster one runs at once.

The same inputs give the same decisions in every language (tests/runtime/governor_vectors.json).
Choosing takes O(log K + WINDOW) for K paths, and O(K) more where a cap leaves paths that no cap
left before: their front is kept. Learning takes O(1).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from tipsc.engine.manifest import PathEntry
from tipsc.runtime.account import Account
from tipsc.runtime.allowances import Allowances
from tipsc.runtime.estimate import Chances, Estimate
from tipsc.runtime.front import Front, Place, affordable, front, in_order, places

#: share of calls in time that a path is expected to keep
ENOUGH = 0.98
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
    TOO_COSTLY = "nothing is as thrifty: the thriftiest path"

    def __str__(self) -> str:
        return self.value


class Mode(Enum):
    """What a call is held to."""

    DEADLINE = "deadline"
    THROUGHPUT = "throughput"
    PINNED = "pinned"
    ENERGY = "energy"


@dataclass(frozen=True)
class Decision:
    """What is to run, and what was known when it was chosen.

    Attributes:
        path: that is to run.
        reason: why.
        mode: what the call is held to.
        gap_ms: since the last call.
        budget_ms: of the call; the period for a throughput; inf where there is none.
        predicted_ms: what the call is most likely to take.
        budget_mj: energy that the call may take; inf but for the mode of energy.
    """

    path: PathEntry
    reason: Reason
    mode: Mode
    gap_ms: float
    budget_ms: float
    predicted_ms: float
    budget_mj: float = math.inf


class Rule:
    """Chooses and learns; not safe to call from several threads at once.

    Args:
        paths: with measured latencies, at least one.
        percentile: which latency of the profile has to fit, until calls have shown what they take.
        hysteresis: calls in which a better path was to run before it does.

    Attributes:
        account: of energy; None where no path has one.
    """

    def __init__(
        self, paths: Sequence[PathEntry], percentile: str = "p95", hysteresis: int = 0
    ) -> None:
        self.paths = tuple(sorted(paths, key=lambda path: path.speed_key))
        self.estimate = Estimate(self.paths)
        self.front: Front = front(paths, percentile)
        self._known = {path.id for path in paths}
        self._medians = [place.median_ms for place in self.front]
        # A cap must not change when a path is taken to be late, so this is of all of them.
        self._costed = places(in_order(p for p in paths if p.energy_mj is not None), percentile)
        energies = {place.path.id: place.path.energy_mj or 0.0 for place in self._costed}
        self.account = Account(list(energies.values())) if energies else None
        self._energies = sorted(energies.values())
        self._affordable: dict[int, Front] = {}  # by how many paths a cap leaves
        self._thriftiest = min(self._costed, key=lambda at: energies[at.path.id], default=None)
        self.allowances = Allowances()
        self._wait, self._since = TRY_AFTER, 0
        self._hysteresis, self._held = hysteresis, 0
        self._last: PathEntry | None = None
        self.owed_ms = 0.0

    def by_deadline(self, gap_ms: float, budget_ms: float) -> Decision:
        """For a call that should end within its budget, `gap_ms` after the last one."""
        return self._in_time(_Asked(Mode.DEADLINE, self.front, gap_ms, budget_ms))

    def by_energy(self, gap_ms: float, budget_ms: float, cap_mj: float) -> Decision:
        """For a call that should take at most `cap_mj`, and end within its budget.

        There is a path with an energy.
        """
        within = self._within_cap(cap_mj)
        if within:
            return self._in_time(_Asked(Mode.ENERGY, within, gap_ms, budget_ms, cap_mj))
        assert self._thriftiest is not None
        asked = _Asked(Mode.ENERGY, (self._thriftiest,), gap_ms, budget_ms, cap_mj)
        return self._decision(asked, 0, Reason.TOO_COSTLY)

    def by_throughput(self, gap_ms: float, period_ms: float) -> Decision:
        """For calls that should take no more than a period in the mean."""
        estimate = self.estimate
        within = self._within(period_ms)
        largest = (within - estimate.constant_ms(gap_ms)) / estimate.factor
        place = bisect_right(self._medians, largest) - 1
        asked = _Asked(Mode.THROUGHPUT, self.front, gap_ms, period_ms)
        return self._fastest(asked) if place < 0 else self._held_or_tried(asked, place, within)

    def pinned(self, gap_ms: float, path: PathEntry, budget_ms: float) -> Decision:
        """For a call whose path is given."""
        predicted = self.estimate.median_ms(path.id, gap_ms)
        return Decision(path, Reason.PINNED, Mode.PINNED, gap_ms, budget_ms, predicted)

    def learn(self, decision: Decision, elapsed_ms: float) -> None:
        """From the call of a decision, which has ended."""
        self.estimate.learn(decision.path.id, decision.gap_ms, elapsed_ms)
        if decision.mode is Mode.PINNED:
            return
        late = elapsed_ms > decision.budget_ms
        self._since += 1
        if decision.reason is Reason.TRIED:
            # One call in time is tried again at once, until the estimate has followed.
            self._wait = min(TRY_AT_LAST, 2 * self._wait) if late else TRY_AFTER
            self._since = 0 if late else self._wait
        self._held = self._held + 1 if decision.reason is Reason.HELD else 0
        self._last = decision.path
        if decision.mode is Mode.THROUGHPUT:
            owed = self.owed_ms + elapsed_ms - decision.budget_ms
            self.owed_ms = min(max(0.0, owed), MOST_PERIODS * decision.budget_ms)
        else:
            self.allowances.add(decision.path.id, late)

    def observe(self, path_id: str, gap_ms: float, elapsed_ms: float) -> None:
        """From a call that nobody chose here; of a path without a latency nothing is learned."""
        if path_id in self._known:
            self.estimate.learn(path_id, gap_ms, elapsed_ms)

    def refused(self, decision: Decision) -> None:
        """Nothing ran, since nothing was to fit."""
        self.estimate.relax(decision.gap_ms)

    def front_of(self, decision: Decision) -> Front:
        """The paths that could have run for it."""
        if decision.mode is not Mode.ENERGY:
            return self.front
        return self._within_cap(decision.budget_mj)

    def rested(self, mode: Mode, path: PathEntry) -> bool:
        """Whether a path has not overdrawn its allowance, where there is one."""
        return mode is Mode.THROUGHPUT or self.allowances.own(path.id) >= 0

    def fits(self, decision: Decision, fastest: Place, place: Place) -> bool:
        """Whether a path keeps the time that a decision was held to.

        Args:
            fastest: of the front of that decision.
        """
        if decision.mode is Mode.THROUGHPUT:
            predicted = self.estimate.median_ms(place.path.id, decision.gap_ms)
            return predicted <= self._within(decision.budget_ms)
        chances = self.estimate.chances(decision.gap_ms, decision.budget_ms)
        best = fastest.share(chances)
        return best >= HOPELESS and place.share(chances) >= self._enough(best)

    def _within_cap(self, cap_mj: float) -> Front:
        left = bisect_right(self._energies, cap_mj)
        if left not in self._affordable:
            self._affordable[left] = affordable(self._costed, cap_mj)
        return self._affordable[left]

    def _in_time(self, asked: _Asked) -> Decision:
        """The most accurate path of a front that keeps the budget often enough."""
        chances = self.estimate.chances(asked.gap_ms, asked.budget_ms)
        best = asked.front[0].share(chances)
        if best < HOPELESS:  # all are late more often than not: no share tells them apart
            return self._fastest(asked)
        most = _last_that_keeps(asked.front, chances, self._enough(best))
        kept = (at for at in range(most, -1, -1) if self.rested(asked.mode, asked.front[at].path))
        return self._held_or_tried(asked, next(kept, most), asked.budget_ms)

    def _enough(self, best: float) -> float:
        return min(best, ENOUGH) if self.allowances.of_all >= 0 else best

    def _within(self, period_ms: float) -> float:
        return period_ms - self.owed_ms / CATCH_UP

    def _held_or_tried(self, asked: _Asked, place: int, within_ms: float) -> Decision:
        held = self._place_held(asked, place) if self._held < self._hysteresis else None
        if held is not None:
            return self._decision(asked, held, Reason.HELD)
        if self._may_fit(asked, place, within_ms):
            return self._decision(asked, place + 1, Reason.TRIED)
        return self._decision(asked, place, Reason.MOST_ACCURATE)

    def _place_held(self, asked: _Asked, place: int) -> int | None:
        """The place of the last path, if it runs although the one at `place` is better."""
        last = self._last
        if last is None or not self.rested(asked.mode, last):
            return None
        assert last.latency is not None
        at = bisect_left(asked.front, last.latency.p50_ms, key=lambda known: known.median_ms)
        return at if at < place and asked.front[at].path.id == last.id else None

    def _may_fit(self, asked: _Asked, place: int, within_ms: float) -> bool:
        """Whether the next better path is to be tried."""
        if place + 1 >= len(asked.front) or self._since < self._wait:
            return False
        throughput = asked.mode is Mode.THROUGHPUT
        if self.owed_ms > 0 if throughput else self.allowances.of_all < 1:
            return False
        here, after = asked.front[place], asked.front[place + 1]
        extra = self.estimate.median_ms(here.path.id, asked.gap_ms) - here.median_ms
        return after.median_ms + extra <= within_ms

    def _fastest(self, asked: _Asked) -> Decision:
        predicted = self.estimate.median_ms(asked.front[0].path.id, asked.gap_ms)
        reason = Reason.TOO_LATE if predicted > asked.budget_ms else Reason.LIKELIEST
        return self._decision(asked, 0, reason)

    def _decision(self, asked: _Asked, place: int, reason: Reason) -> Decision:
        path = asked.front[place].path
        predicted = self.estimate.median_ms(path.id, asked.gap_ms)
        return Decision(
            path, reason, asked.mode, asked.gap_ms, asked.budget_ms, predicted, asked.cap_mj
        )


class _Asked(NamedTuple):
    """What a call is held to, and the paths that may run for it."""

    mode: Mode
    front: Front
    gap_ms: float
    budget_ms: float
    cap_mj: float = math.inf


def _last_that_keeps(front: Front, chances: Chances, enough: float) -> int:
    """The slowest path of the front that keeps a budget so often; the first one does."""
    low, high = 0, len(front)
    while high - low > 1:
        middle = (low + high) // 2
        if front[middle].share(chances) >= enough:
            low = middle
        else:
            high = middle
    return low
