"""Which paths of an engine are worth shipping: each has to be better than all faster ones.

Two sets of examples say which of two paths is better, validation and test; where both say that a
slower path is no better than a faster one, that is no accident, and the slower one is left out.
Where they disagree the difference is within what examples can show, and both ship.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        validation, test: its merit on these examples.
    """

    id: str
    validation: float
    test: float

    def covers(self, other: Worth) -> bool:
        """Whether it is at least as good on both sets of examples."""
        return self.validation >= other.validation and self.test >= other.test


def left_out(paths: Sequence[Worth], p50_ms: Mapping[str, float]) -> tuple[LeftOut, ...]:
    """The paths that another one makes useless, from fast to slow.

    Args:
        p50_ms: of each path, as measured in the engine.
    """
    found: list[LeftOut] = []
    ordered = sorted(paths, key=lambda path: (p50_ms[path.id], -path.validation, path.id))
    kept: list[Worth] = []
    for path in ordered:
        rival = next((other for other in kept if other.covers(path)), None)
        if rival is None:
            kept.append(path)
        else:
            found.append(LeftOut(path.id, rival.id))
    return tuple(found)


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
