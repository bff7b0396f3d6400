"""What the goals of a configuration ask of the paths of a space, before one of them is trained.

A goal names latencies and bytes, which are known of each path, and a loss against the reference,
which before a training nobody knows. The first become limits, the second is looked at where the
candidates are already what ships.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tipsc.factors import Additive
from tipsc.paths import Path, SearchSpace
from tipsc.project.config import BuildGoal
from tipsc.project.target import BYTES
from tipsc.search import Limit, within

LATENCY, WEIGHTS = "latency", "file_bytes"
#: of the reference's cost: where paths are looked for that lose little
NEAR_THE_REFERENCE = (0.5, 0.7, 0.85)


@dataclass(frozen=True, eq=False)
class Asked:
    """A goal, for the paths of a space.

    Attributes:
        limits: on what is known of a path: latency with a margin, and bytes; may be empty.
        lose_at_most: quality against the reference; None: the best path is wanted.
    """

    limits: tuple[Limit, ...]
    lose_at_most: float | None

    @property
    def budget(self) -> float | None:
        """Cost that a path may have, the margin taken off; None without such a limit."""
        return min((bound.allowed for bound in self.limits if bound.name == LATENCY), default=None)

    @property
    def bounds_bytes(self) -> bool:
        """Whether it limits the bytes of a path's weights."""
        return any(limit.name == WEIGHTS for limit in self.limits)


def asked_of(
    goals: Sequence[BuildGoal],
    cost: Additive,
    totals: Mapping[str, Additive],
    safety: float,
    precision: str,
    reference: float | None = None,
) -> tuple[Asked, ...]:
    """What each goal asks for.

    Args:
        cost: of a path: predicted ms, or what stands for them.
        safety: share of a latency that a prediction may reach.
        reference: cost of the original; by default of the largest path, in `cost`.
    """
    whole = cost.of(cost.space.largest) if reference is None else reference
    found = []
    for goal in goals:
        latencies = [goal.latency_ms, goal.latency_share and goal.latency_share * whole]
        limits = [Limit(LATENCY, cost, most, 1.0 - safety) for most in latencies if most]
        if goal.file_bytes is not None:
            weights = totals["parameters"] * BYTES[precision]
            limits.append(Limit(WEIGHTS, weights, goal.file_bytes))
        found.append(Asked(tuple(limits), goal.lose_at_most))
    return tuple(found)


def budgets_asked(asked: Sequence[Asked], low: float, high: float) -> tuple[float, ...]:
    """Budgets that goals name, none below the cheapest path or above the costliest one."""
    named = [goal.budget for goal in asked]
    return tuple(sorted({min(max(budget, low), high) for budget in named if budget is not None}))


def near_the_reference(asked: Sequence[Asked], high: float) -> tuple[float, ...]:
    """Budgets where a path that loses little is looked for; none where no goal wants one."""
    if all(goal.lose_at_most is None for goal in asked):
        return ()
    return tuple(share * high for share in NEAR_THE_REFERENCE)


def needs_reference(goals: Sequence[BuildGoal]) -> bool:
    """Whether a goal is relative to the original."""
    return any(g.lose_at_most is not None or g.latency_share is not None for g in goals)


def pinned(
    asked: Sequence[Asked],
    merits: Mapping[Path, float],
    cost: Additive,
    reference: float | None = None,
) -> tuple[Path, ...]:
    """For each goal the candidate that is nearest to it, as far as can be known; none twice.

    Args:
        merits: of the candidates.
        cost: of a path, as the limits have it.
        reference: merit of the reference, where the merits are those that ship; None: the
            candidates are trained later, and a loss says nothing yet.
    """
    found: dict[Path, None] = {}
    for goal in asked:
        if not goal.limits and reference is None:
            continue
        fitting = within(goal.limits, list(merits)) or [_nearest(goal, list(merits))]
        least = -math.inf
        if goal.lose_at_most is not None and reference is not None:
            least = reference - goal.lose_at_most
        enough = [path for path in fitting if merits[path] >= least]
        if enough and least > -math.inf:
            found.setdefault(min(enough, key=lambda path: (cost.of(path), path.id)))
        else:
            found.setdefault(max(fitting, key=lambda path: (merits[path], path.id)))
    return tuple(found)


def with_pinned(
    first: Sequence[Path], others: Sequence[Path], cost: Additive, count: int
) -> tuple[Path, ...]:
    """`count` paths at most: `first`, and of the others those that lie apart.

    While there are too many, of the others that one goes which is nearest to another path by the
    logarithm of its cost.
    """
    kept = list(dict.fromkeys([*first, *others]))

    def room(path: Path) -> float:
        gaps = [abs(math.log(cost.of(path) / cost.of(p))) for p in kept if p != path]
        return min(gaps, default=math.inf)

    while len(kept) > count and any(path not in first for path in kept):
        kept.remove(min((p for p in kept if p not in first), key=lambda p: (room(p), p.id)))
    return tuple(sorted(kept, key=lambda path: (cost.of(path), path.id)))


def extra_candidates(
    asked: Sequence[Asked], best: Sequence[Sequence[Path]], space: SearchSpace
) -> tuple[Path, ...]:
    """Paths that goals need and budgets do not lead to: those within bytes, and the reference."""
    within_bytes = [path for goal, paths in zip(asked, best, strict=True) for path in paths
                    if goal.bounds_bytes]  # fmt: skip
    return tuple(dict.fromkeys([*within_bytes, space.largest]))


def _nearest(goal: Asked, paths: Sequence[Path]) -> Path:
    """That exceeds the limits by least."""
    return min(paths, key=lambda path: max(b.cost.of(path) / b.allowed for b in goal.limits))
