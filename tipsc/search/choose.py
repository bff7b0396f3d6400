"""Which K of the measured paths to ship.

An application asks for "the best within this budget", for budgets anywhere between the fastest
path and the slowest. Budgets spread evenly over the logarithm, K paths give on average the
quality that is the area under their staircase of quality against log latency. The paths chosen
here maximise that area, exactly, by dynamic programming over the Pareto front.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tipsc.errors import DataError

HALVINGS = 12  # of the spread, before it is given up


@dataclass(frozen=True)
class Rated:
    """A measured path: its merit on validation data, and its latency on the device.

    The merit is the value of a quality, turned so that higher is better.
    """

    path_id: str
    merit: float
    latency_ms: float


@dataclass(frozen=True)
class Selection:
    """A path to ship.

    Attributes:
        path_id, merit, latency_ms: of its candidate.
        budget_ms: the smallest time budget for which it is the answer; without a margin that is
            its own latency. For a dominated path it never is.
        dominated: another chosen path is no slower and no worse, and better in one of
            both. It fills up the number asked for, where the front is too short.
    """

    path_id: str
    merit: float
    latency_ms: float
    budget_ms: float
    dominated: bool


def choose(candidates: Iterable[Rated], k: int, *, spread: float = 0.0) -> tuple[Selection, ...]:
    """Choose `k` paths, from fast to slow; all candidates if there are no more than `k`.

    The fastest and the best candidate are always among them (for ``k = 1`` the best alone). Every
    chosen path is slower only to be better, unless the Pareto front
    has fewer than `k` paths: then those follow that lose least against the front.

    Args:
        candidates: with distinct path ids; latencies positive.
        k: how many, at least 1.
        spread: smallest gap between neighbours' latencies as a share of the faster one, for
            example the noise floor; halved until `k` paths of the front fit, if they do not.

    Raises:
        DataError: nothing to choose from, or a value that is not possible.
    """
    found = _checked(candidates, k, spread)
    front = pareto_front(found)
    if len(front) > k:
        chosen = _spread_over(front, k, spread)
    else:
        chosen = [*front, *_fill(found, front, k - len(front))]
    return selections_of(chosen)


def selections_of(chosen: Iterable[Rated]) -> tuple[Selection, ...]:
    """Candidates as paths to ship, from fast to slow; each is told whether another dominates it."""
    ordered = sorted(chosen, key=lambda c: (c.latency_ms, -c.merit, c.path_id))
    return tuple(
        Selection(
            path_id=c.path_id,
            merit=c.merit,
            latency_ms=c.latency_ms,
            budget_ms=c.latency_ms,
            dominated=any(dominates(other, c) for other in ordered),
        )
        for c in ordered
    )


def pareto_front(candidates: Iterable[Rated]) -> list[Rated]:
    """From fast to slow, each better than all before; of equal ones the first id."""
    front: list[Rated] = []
    for candidate in sorted(candidates, key=lambda c: (c.latency_ms, -c.merit, c.path_id)):
        if not front or candidate.merit > front[-1].merit:
            front.append(candidate)
    return front


def area(front: Sequence[Rated], slowest_ms: float) -> float:
    """Under the staircase of a front, from its first latency to `slowest_ms`, in natural log."""
    ends = [*(c.latency_ms for c in front[1:]), slowest_ms]
    return math.fsum(
        c.merit * math.log(end / c.latency_ms) for c, end in zip(front, ends, strict=True)
    )


def _checked(candidates: Iterable[Rated], k: int, spread: float) -> list[Rated]:
    found = list(candidates)
    if not found:
        raise DataError("there are no paths to choose from", fix="profile some first")
    if k < 1:
        raise DataError("cannot choose so few paths", expected="at least 1", got=k)
    if not (math.isfinite(spread) and spread >= 0):
        raise DataError("the spread must be finite and not negative", got=spread)
    if len({c.path_id for c in found}) < len(found):
        raise DataError("a path stands twice among the candidates", fix="give each once")
    for c in found:
        if not (math.isfinite(c.latency_ms) and c.latency_ms > 0 and math.isfinite(c.merit)):
            raise DataError(
                "a candidate is not usable",
                where=f"path {c.path_id}",
                expected="a positive latency and a finite merit",
                got=f"{c.latency_ms} ms and {c.merit}",
            )
    return found


def _spread_over(front: list[Rated], k: int, spread: float) -> list[Rated]:
    """`k` of a longer front, at gaps as close to `spread` as it allows."""
    if k == 1:
        return [front[-1]]
    for gap in (*(spread / 2**i for i in range(HALVINGS)), 0.0):
        if (chosen := _best_staircase(front, k, gap)) is not None:
            return chosen
    raise AssertionError("without a gap any k of a longer front fit")


def _best_staircase(front: list[Rated], k: int, gap: float) -> list[Rated] | None:
    """The `k` >= 2 of a front, ends included, with the largest area; None if no `k` fit.

    best[j] is the largest area between the first path and path j, with path j chosen as the
    m-th. The step to j from i adds merit(i) * log(latency(j) / latency(i)). O(k n^2).
    """
    log_ms = np.log([c.latency_ms for c in front])
    # Merits relative to the first: the area differs by a constant, and rounding is smaller.
    gain = np.array([c.merit - front[0].merit for c in front])
    smallest_step = math.log1p(gap) - 1e-12
    best: NDArray[np.float64] = np.full(len(front), -np.inf)
    best[0] = 0.0
    came_from: list[NDArray[np.int64]] = []
    for _ in range(k - 1):
        following = np.full(len(front), -np.inf)
        origin = np.zeros(len(front), dtype=np.int64)
        for j in range(1, len(front)):
            step = log_ms[j] - log_ms[:j]
            areas = np.where(step >= smallest_step, best[:j] + gain[:j] * step, -np.inf)
            origin[j] = int(np.flatnonzero(areas == areas.max())[0])
            following[j] = areas[origin[j]]
        best = following
        came_from.append(origin)
    if best[-1] == -np.inf:
        return None
    picked = [len(front) - 1]
    for origin in reversed(came_from):
        picked.append(int(origin[picked[-1]]))
    return [front[i] for i in reversed(picked)]


def _fill(candidates: list[Rated], front: list[Rated], n: int) -> list[Rated]:
    """`n` candidates off the front: those that lose least against the front at their latency."""
    on_front = {c.path_id for c in front}

    def loss(candidate: Rated) -> tuple[float, float, str]:
        best = max(c.merit for c in front if c.latency_ms <= candidate.latency_ms)
        return best - candidate.merit, candidate.latency_ms, candidate.path_id

    return sorted((c for c in candidates if c.path_id not in on_front), key=loss)[:n]


def dominates(one: Rated, other: Rated) -> bool:
    """Whether it is no slower and no worse, and better in one of both."""
    no_worse = one.latency_ms <= other.latency_ms and one.merit >= other.merit
    return no_worse and (one.latency_ms, one.merit) != (other.latency_ms, other.merit)
