"""Which paths of an engine are worth shipping: each has to be better than all faster ones.

By the engine's own figures, quality on test examples and latency on the device: an application goes
by them, so a path that they put behind a faster one would never run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tipsc.measure.disturbance import joined
from tipsc.pipeline.verdicts import LeftOut
from tipsc.profile import Measurement, Samples

#: how often a measurement is repeated at most, where it decides
REPEATS = 2


@dataclass(frozen=True)
class Worth:
    """What a path is worth.

    Attributes:
        id: of the path.
        merit: on the test examples.
    """

    id: str
    merit: float

    def covers(self, other: Worth) -> bool:
        """Whether it is at least as good."""
        return self.merit >= other.merit


def left_out(paths: Sequence[Worth], p50_ms: Mapping[str, float]) -> tuple[LeftOut, ...]:
    """The paths that another one makes useless, from fast to slow.

    Args:
        p50_ms: of each path, as measured in the engine.
    """
    found: list[LeftOut] = []
    ordered = sorted(paths, key=lambda path: (p50_ms[path.id], -path.merit, path.id))
    kept: list[Worth] = []
    for path in ordered:
        rival = next((other for other in kept if other.covers(path)), None)
        if rival is None:
            kept.append(path)
        else:
            found.append(LeftOut(path.id, rival.id))
    return tuple(found)


def all_left_out(before: Sequence[LeftOut], more: Sequence[LeftOut]) -> tuple[LeftOut, ...]:
    """Both together; what took the place of a path and is now left out itself is replaced, too."""
    instead = {path.id: path.for_path for path in more}
    moved = (replace(p, for_path=instead.get(p.for_path, p.for_path)) for p in before)
    return (*moved, *more)


def is_undecided(paths: Sequence[Worth], measurement: Measurement) -> bool:
    """Whether noise may have decided which of two paths is the faster, and with it what ships."""
    p50 = {path.id: measurement.latencies[path.id].p50_ms for path in paths}
    return any(
        one.id != other.id
        and one.covers(other)
        and within_noise(p50[one.id], p50[other.id], measurement)
        for one in paths
        for other in paths
    )


def within_noise(one_ms: float, other_ms: float, measurement: Measurement) -> bool:
    """Whether two latencies differ by no more than a repetition of the measurement does."""
    return abs(one_ms - other_ms) <= measurement.noise_floor.p95 * min(one_ms, other_ms)


def joined_samples(first: Samples, second: Samples) -> Samples:
    """Both measurements of the same paths as one."""
    batches = {name: [*rounds, *second.batches[name]] for name, rounds in first.batches.items()}
    disturbance = joined(first.disturbance, second.disturbance)
    return Samples(batches, first.held, first.seconds + second.seconds, disturbance)
