"""Why a governor would run which path: what each of them would take, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass

from tipsc.engine.manifest import PathEntry
from tipsc.runtime.front import Front
from tipsc.runtime.rule import Decision, Mode, Rule

RUNS = "runs"
WORSE = "a faster path is as good"
RESTS = "was late too often and rests"
LATE = "would be late too often"
COSTLY = "takes more energy"
UNKNOWN = "its energy was not measured"
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
        left_mj: what is left in the account of energy; None where no path has an energy.
        outlooks: of each path with a latency, the fastest first.
    """

    decision: Decision
    slowdown: float
    pause_ms: float
    allowance: float
    owed_ms: float
    left_mj: float | None
    outlooks: tuple[Outlook, ...]

    def __str__(self) -> str:
        decision = self.decision
        what = "period" if decision.mode is Mode.THROUGHPUT else "budget"
        by_energy = decision.mode is Mode.ENERGY
        cap = f", at most {decision.budget_mj:.3g} mJ" if by_energy else ""
        lines = [
            f"{decision.path.id}: {decision.reason} ({what} {decision.budget_ms:.3g} ms{cap}, "
            f"slowdown {self.slowdown:.3g}, {self.pause_ms:.3g} ms after a pause)"
        ]
        for outlook in self.outlooks:
            share, energy_mj = outlook.share_in_time, outlook.path.energy_mj
            in_time = "" if share is None else f"{share:7.1%} in time"
            takes = "" if energy_mj is None else f"{energy_mj:9.3f} mJ"
            lines.append(
                f"  {outlook.path.id:<12}{outlook.predicted_ms:9.3f} ms"
                f"{f'{takes:>12}' if by_energy else ''}{in_time:>16}  {outlook.verdict}"
            )
        return "\n".join(lines)


def explain(rule: Rule, decision: Decision) -> Explanation:
    """What stands behind a decision of that rule."""
    estimate, gap = rule.estimate, decision.gap_ms
    chances = estimate.chances(gap, decision.budget_ms)
    front = rule.front_of(decision)
    places = {place.path.id: place for place in front}
    outlooks = []
    for path in rule.paths:
        place = places.get(path.id)
        outlooks.append(
            Outlook(
                path,
                estimate.median_ms(path.id, gap),
                None if place is None else place.share(chances),
                _verdict(rule, decision, front, path),
            )
        )
    return Explanation(
        decision, estimate.factor, estimate.constant_ms(gap), rule.allowances.of_all, rule.owed_ms,
        None if rule.account is None else rule.account.left_mj, tuple(outlooks),
    )  # fmt: skip


def _verdict(rule: Rule, decision: Decision, front: Front, path: PathEntry) -> str:
    if path.id == decision.path.id:
        return RUNS
    if decision.mode is Mode.ENERGY:
        if path.energy_mj is None:
            return UNKNOWN
        if path.energy_mj > decision.budget_mj:
            return COSTLY
    place = next((place for place in front if place.path.id == path.id), None)
    if place is None:
        return WORSE
    if not rule.fits(decision, front[0], place):
        return LATE
    return FITS if rule.rested(decision.mode, path) else RESTS
