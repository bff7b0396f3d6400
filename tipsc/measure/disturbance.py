"""What disturbed a measurement, and when it has to be said.

The limits lie between a free core and one that a single busy process shares, which
``benchmarks/quiet.py`` measures: shares of a few per cent there, of tens of per cent here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

#: share of a visit's time for which its thread may have waited; above, the visit is disturbed
MOST_WAITED = 0.02
#: share of visits that may stay disturbed: p95 leaves a twentieth of the calls above itself
MOST_DISTURBED = 0.05
#: share of the measured cores' time that others may have had, where waiting cannot be seen
MOST_OTHERS = 0.10
#: p95 / p50 of the median path, where nothing else is told
MOST_SPREAD = 2.0
#: change of the anchors from the first rounds to the last
MOST_DRIFT = 0.10

AGAIN = "run again with --wait-quiet 60"


@dataclass(frozen=True)
class Disturbance:
    """What else the machine did while latencies were measured there.

    Attributes:
        others: share of the measured cores' time that other processes had, from the first visit to
            the last; None where the system does not tell.
        stolen: share that other virtual machines had; None likewise.
        threaded: the process computed in more threads than the one whose waiting is seen.
        visits: of a path, by its batch of timed calls.
        repeated: visits that were disturbed, measured again and then less so: those count.
        disturbed: visits that stayed disturbed and count all the same; None where a thread's
            waiting is not told.
        waited: share of the visits' time in which the thread waited for its core, of those that
            count; None likewise.
        throttled: heat slowed a core down.
        spread: p95 / p50 of the median path.
        measured: how often everything was measured, to keep the quietest.
        paused_s: seconds that were waited for the machine to become quiet, all together.
    """

    others: float | None = None
    stolen: float | None = None
    threaded: bool = False
    visits: int = 0
    repeated: int = 0
    disturbed: int | None = None
    waited: float | None = None
    throttled: bool = False
    spread: float = 1.0
    measured: int = 1
    paused_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
            if not (number or (value is None and name in _MAY_BE_UNTOLD)):
                raise ValueError(f"{name} is not a number that is told: {value!r}")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Disturbance:
        """From what a device told; unknown names are left out.

        Raises:
            ValueError: a value is not a number, or is negative.
        """
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in told.items() if name in known})

    @property
    def share(self) -> float | None:
        """Share of the visits that stayed disturbed."""
        return None if self.disturbed is None else self.disturbed / max(self.visits, 1)

    @property
    def untold(self) -> bool:
        """Whether the system tells nothing of other work."""
        return self.others is None and self.disturbed is None


_MAY_BE_UNTOLD = ("others", "stolen", "disturbed", "waited")
#: of a measurement of which nothing is known
UNTOLD = Disturbance()


def noise_of(found: Disturbance, drift: float = 0.0) -> str:
    """What makes the latencies of a measurement doubtful, in a sentence; "" if nothing does.

    Args:
        drift: of the anchors, from the first rounds to the last, as a share.
    """
    others, share = found.others, found.share
    if share is not None and share > MOST_DISTURBED:
        took = f"took {others:.0%} of the core" if others else "had the core at times"
        return (
            f"other work {took} while this was measured ({share:.0%} of the visits were "
            f"disturbed); latencies are too high; {AGAIN}"
        )
    if others is not None and others > MOST_OTHERS and (share is None or found.threaded):
        return (
            f"other work took {others:.0%} of the cores while this was measured; latencies are too "
            f"high; {AGAIN}"
        )
    if found.stolen is not None and found.stolen > MOST_OTHERS:
        return (
            f"other virtual machines took {found.stolen:.0%} of the core while this was measured; "
            f"latencies are too high; {AGAIN}"
        )
    if found.throttled:
        return (
            "heat slowed the processor down while this was measured; let it cool, or give it a "
            "lower clock that it can hold, and measure again"
        )
    if abs(drift) > MOST_DRIFT:
        return (
            f"calls were {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} at the end than at "
            f"the beginning: a clock, or other work, changed while this was measured; {AGAIN}"
        )
    if found.spread > MOST_SPREAD:
        return (
            f"p95 is {found.spread:.1f} x p50 (median of the paths): something disturbed the "
            f"calls while they were measured; {AGAIN}"
        )
    return ""


def remark_of(found: Disturbance) -> str:
    """What was done about other work, or why nothing is known of it; "" if there was none."""
    said = []
    if found.paused_s >= 1.0:
        said.append(f"waited {found.paused_s:.0f} s for the machine to become quiet")
    if found.measured > 1:
        said.append(f"measured {found.measured} times, of which the quietest counts")
    if found.repeated:
        said.append(
            f"{found.repeated} of {found.visits} visits were disturbed by other work and measured "
            "again"
        )
    if found.untold:
        said.append("this system does not tell whether other work disturbed the measurement")
    return "; ".join(said)


def severity(found: Disturbance) -> float:
    """Orders measurements of the same calls: the quietest first."""
    return sum(filter(None, (found.share, found.waited, found.others, found.stolen)))


def joined(first: Disturbance, second: Disturbance) -> Disturbance:
    """Of two measurements whose latencies stand side by side: the worse of each."""

    def worse(a: float | None, b: float | None) -> float | None:
        return a if b is None else b if a is None else max(a, b)

    known = [part.disturbed for part in (first, second) if part.disturbed is not None]
    return Disturbance(
        others=worse(first.others, second.others),
        stolen=worse(first.stolen, second.stolen),
        threaded=first.threaded or second.threaded,
        visits=first.visits + second.visits,
        repeated=first.repeated + second.repeated,
        disturbed=sum(known) if known else None,
        waited=worse(first.waited, second.waited),
        throttled=first.throttled or second.throttled,
        spread=max(first.spread, second.spread),
        measured=max(first.measured, second.measured),
        paused_s=first.paused_s + second.paused_s,
    )
