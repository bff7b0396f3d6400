"""Paths that are worth running: better than all that are as fast, and what their calls take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tipsc.engine.manifest import PathEntry
from tipsc.runtime.estimate import Chances
from tipsc.runtime.pick import latency_ms, worth


class Place(NamedTuple):
    """A path among others that are sorted by their medians.

    Attributes:
        path: with a measured latency.
        median_ms: of its profile.
        slow_ms: the percentile of its profile that stands for calls that were not seen.
    """

    path: PathEntry
    median_ms: float
    slow_ms: float

    def share(self, chances: Chances) -> float:
        """Share of its calls in time, 0..1."""
        return chances.share(self.median_ms, self.slow_ms)


#: places each of which is slower and better than the one before
Front = Sequence[Place]


def in_order(paths: Iterable[PathEntry]) -> list[PathEntry]:
    """The fastest first.

    Of equally fast ones the best, then the one with the fewest MACs, and the first by its id.
    """
    return sorted(paths, key=_best_of_the_fastest_first)


def places(paths: Iterable[PathEntry], percentile: str) -> tuple[Place, ...]:
    """Paths with latencies, in order, with what their calls take.

    A slower path is not expected to be late less often than a faster one.
    """
    found: list[Place] = []
    for path in paths:
        assert path.latency is not None
        slow_ms = latency_ms(path.latency, percentile)
        if found:
            slow_ms = max(slow_ms, found[-1].slow_ms)
        found.append(Place(path, path.latency.p50_ms, slow_ms))
    return tuple(found)


def front(paths: Iterable[PathEntry], percentile: str) -> tuple[Place, ...]:
    """The paths that are better than all that are as fast, the fastest first."""
    found: list[PathEntry] = []
    for path in in_order(paths):
        if not found or worth(path) > worth(found[-1]):
            found.append(path)
    return places(found, percentile)


def affordable(costed: Iterable[Place], cap_mj: float) -> tuple[Place, ...]:
    """The front of those that take no more energy than that.

    Paths that are fast, thrifty and good are in no one order, so nothing can be halved here: one
    pass, O(K).

    Args:
        costed: of all paths with an energy, in order.
        cap_mj: millijoules of one call.
    """
    found: list[Place] = []
    for place in costed:
        energy_mj = place.path.energy_mj
        if energy_mj is None or energy_mj > cap_mj:
            continue
        if not found or worth(place.path) > worth(found[-1].path):
            found.append(place)
    return tuple(found)


def _best_of_the_fastest_first(path: PathEntry) -> tuple[float, bool, float, int, str]:
    p50_ms, macs, name = path.speed_key
    measured, value = worth(path)
    return p50_ms, not measured, -value, macs, name
