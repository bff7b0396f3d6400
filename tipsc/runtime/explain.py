"""Why a governor would run which path: what each of them would take, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass

from tipsc.engine.manifest import PathEntry
from tipsc.runtime.rule import Decision, Mode, Rule

RUNS = "runs"
WORSE = "a faster path is as good"
RESTS = "was late too often and rests"
LATE = "would be late too often"
FITS = "fits"


@dataclass(frozen=True)
class Outlook:
    """What is known of one path, for the next call.

    Attributes:
        path: of the engine.
        predicted_ms: what the call is most likely to take.
        share_in_time: share of such calls that would keep the budget, 0..1; the period, for a
            throughput. None for a path that no governor runs by itself.
        verdict: in words.
    """

    path: PathEntry
    predicted_ms: float
    share_in_time: float | None
    verdict: str


@dataclass(frozen=True)
class Explanation:
    """Of one decision; its text is a table.

    Attributes:
        decision: what would run, and why.
        slowdown: how many times slower the device is taken to be than when it was profiled.
        pause_ms: what the call costs beside, after such a gap.
        allowance: late calls that may still come before only the surest paths run.
        owed_ms: what a throughput is behind by.
        outlooks: of each path with a latency, the fastest first.
    """

    decision: Decision
    slowdown: float
    pause_ms: float
    allowance: float
    owed_ms: float
    outlooks: tuple[Outlook, ...]

    def __str__(self) -> str:
        decision = self.decision
        what = "period" if decision.mode is Mode.THROUGHPUT else "budget"
        lines = [
            f"{decision.path.id}: {decision.reason} ({what} {decision.budget_ms:.3g} ms, slowdown "
            f"{self.slowdown:.3g}, {self.pause_ms:.3g} ms after a pause)"
        ]
        for outlook in self.outlooks:
            share = outlook.share_in_time
            in_time = "" if share is None else f"{share:7.1%} in time"
            lines.append(
                f"  {outlook.path.id:<12}{outlook.predicted_ms:9.3f} ms{in_time:>16}  "
                f"{outlook.verdict}"
            )
        return "\n".join(lines)


def explain(rule: Rule, decision: Decision) -> Explanation:
    """What stands behind a decision of that rule."""
    estimate, gap = rule.estimate, decision.gap_ms
    chances = estimate.chances(gap, decision.budget_ms)
    places = {path.id: place for place, path in enumerate(rule.front)}
    outlooks = []
    for path in rule.paths:
        place = places.get(path.id)
        share = None if place is None else rule.share(chances, place)
        predicted = estimate.median_ms(path.id, gap)
        if path.id == decision.path.id:
            verdict = RUNS
        elif place is None or share is None:
            verdict = WORSE
        elif not rule.fits(decision, place):
            verdict = LATE
        else:
            verdict = FITS if rule.rested(decision.mode, place) else RESTS
        outlooks.append(Outlook(path, predicted, share, verdict))
    return Explanation(
        decision, estimate.factor, estimate.constant_ms(gap), rule.allowances.of_all, rule.owed_ms,
        tuple(outlooks),
    )  # fmt: skip
