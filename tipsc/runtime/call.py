"""What is known of one call of a governor."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tipsc.engine.manifest import PathEntry
from tipsc.runtime.rule import Mode, Reason


@dataclass(frozen=True)
class CallRecord:
    """A call that has ended.

    Attributes:
        path: that ran.
        mode: what it was held to.
        reason: why this path ran.
        budget_ms: that it had: its own, or the period of a throughput; inf for a pinned call
            without one.
        predicted_ms: what it was most likely to take.
        elapsed_ms: that it took.
        gap_ms: since the call before; inf for the first.
        slowdown: how many times slower the device was taken to be than when it was profiled.
        ended: seconds, by the governor's clock.
        budget_mj: energy that it might take; inf but for the mode of energy.
    """

    path: PathEntry
    mode: Mode
    reason: Reason
    budget_ms: float
    predicted_ms: float
    elapsed_ms: float
    gap_ms: float
    slowdown: float
    ended: float
    budget_mj: float = field(default=math.inf, kw_only=True)

    @property
    def in_time(self) -> bool:
        return self.elapsed_ms <= self.budget_ms


@dataclass(frozen=True)
class Result(CallRecord):
    """A call, and what its path gave.

    Attributes:
        output: of the path.
    """

    output: Any
