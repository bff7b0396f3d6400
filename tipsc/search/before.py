"""Which K paths to train: one for each budget, before their training has said what they become.

What a path scores before it is trained ranks paths of about the same cost well, and says next to
nothing of how far a cheap path stays behind a costly one afterwards. So no staircase is looked at
(:mod:`tipsc.search.choose` does, for paths as they are): each budget gets the best path of those
that cost as much as it allows, and more than the budget before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tipsc.errors import DataError
from tipsc.search.choose import Rated, Selection, selections_of
from tipsc.search.limits import ROUNDING


def for_budgets(
    candidates: Iterable[Rated], budgets: Sequence[float], *, blind: Collection[str] = ()
) -> tuple[Selection, ...]:
    """One path for each budget, from fast to slow; fewer if there are not so many candidates.

    A budget without a path between it and the one before it gets the best of the faster ones that
    no other budget has taken. A path whose answers do not depend on the input gives way to the
    fastest other one that no budget has taken: a path that has lost all that the trained model knew
    is not brought back by a training that is as short as the others need.

    Args:
        candidates: with distinct path ids.
        budgets: in the unit of the candidates' latencies.
        blind: ids of paths whose answers do not depend on the input.

    Raises:
        DataError: no budgets, or none of the candidates keeps one.
    """
    found = sorted(candidates, key=lambda c: (-c.merit, c.latency_ms, c.path_id))
    chosen: list[Rated] = []
    before = 0.0
    for budget in sorted(set(budgets)):
        left = (c for c in found if c not in chosen)
        fitting = [c for c in left if c.latency_ms <= budget * (1.0 + ROUNDING)]
        near = [c for c in fitting if c.latency_ms > before * (1.0 + ROUNDING)]
        chosen += (near or fitting)[:1]
        before = budget
    if not chosen:
        raise DataError(
            "there is no path for any of these budgets",
            expected="a candidate within one of them",
            got=f"{len(found)} candidates, {len(budgets)} budgets",
        )
    return selections_of(_seeing(chosen, found, budgets, blind))


def _seeing(
    chosen: Sequence[Rated],
    found: Sequence[Rated],
    budgets: Sequence[float],
    blind: Collection[str],
) -> list[Rated]:
    """Those that are chosen, the blind ones among them exchanged as far as there are others."""
    most = max(budgets) * (1.0 + ROUNDING)
    left = [c for c in found if c not in chosen and c.path_id not in blind and c.latency_ms <= most]
    spare = iter(sorted(left, key=lambda c: (c.latency_ms, -c.merit, c.path_id)))
    return [next(spare, c) if c.path_id in blind else c for c in chosen]
