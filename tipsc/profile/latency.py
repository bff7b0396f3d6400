"""What was measured: latencies, how well they repeat, and in which order they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tipsc.measure.disturbance import UNTOLD, Disturbance, noise_of
from tipsc.profile.record import Milliseconds, Ratio, Record

Batches = list[list[int]]  # for each round, the nanoseconds of its batch


class LatencyStatistics(Record):
    """What one call takes. cv is the standard deviation over the mean; runs were timed.

    p99 is None in profiles that were taken before it was told.
    """

    p10_ms: Milliseconds
    p50_ms: Milliseconds
    p95_ms: Milliseconds
    mean_ms: Milliseconds
    cv: Ratio
    runs: Annotated[int, Field(ge=1)]
    p99_ms: Milliseconds | None = None

    @classmethod
    def of(cls, samples_ms: NDArray[np.float64]) -> LatencyStatistics:
        """Statistics of samples in milliseconds, shape (runs,)."""
        p10, p50, p95, p99 = (float(q) for q in np.percentile(samples_ms, (10, 50, 95, 99)))
        mean = float(samples_ms.mean())
        cv = float(samples_ms.std()) / mean if mean > 0 else 0.0
        runs = len(samples_ms)
        return cls(p10_ms=p10, p50_ms=p50, p95_ms=p95, p99_ms=p99, mean_ms=mean, cv=cv, runs=runs)


class NoiseFloor(Record):
    """How far p10 moves when the same call is measured again, as a share of itself.

    The first half of the rounds against the second, over all calls: so it is the error of half a
    measurement against another half, an upper estimate for the whole one.
    """

    median: Ratio
    p95: Ratio


class Measurement(Record):
    """The result: latencies by name, and what is needed to judge them.

    Attributes:
        latencies: by the names of the calls, in their order.
        noise_floor: repeat-measurement noise.
        drift: how much slower (+) or faster (-) the anchors were in the last quarter of the
            rounds than in the first, as a share: median over the anchors.
        anchors: names of the fastest, the middle and the slowest call.
        rounds: how many rounds were run; fewer than asked for when time was short.
        pinned_cores: where the thread was held; () when it was not or could not be.
        seconds: duration of the whole measurement.
        disturbance: what else the machine did meanwhile.
    """

    latencies: dict[str, LatencyStatistics]
    noise_floor: NoiseFloor
    drift: float
    anchors: tuple[str, ...]
    rounds: int
    pinned_cores: tuple[int, ...]
    seconds: Ratio
    disturbance: Disturbance = UNTOLD

    @property
    def noise(self) -> str:
        """What makes the latencies doubtful, in a sentence; "" if nothing does."""
        return noise_of(self.disturbance, self.drift)

    def ranked(self) -> tuple[tuple[str, ...], ...]:
        """Names from fast to slow, in groups of ties; see :func:`rank`."""
        return rank(self.latencies, self.noise_floor.p95)


def rank(latencies: Mapping[str, LatencyStatistics], floor: float) -> tuple[tuple[str, ...], ...]:
    """Names by p10, grouped: a group holds what is within `floor` of its fastest member."""
    groups: list[list[str]] = []
    for name in sorted(latencies, key=lambda name: latencies[name].p10_ms):
        fastest = latencies[groups[-1][0]].p10_ms if groups else None
        if fastest is not None and latencies[name].p10_ms <= fastest * (1.0 + floor):
            groups[-1].append(name)
        else:
            groups.append([name])
    return tuple(tuple(group) for group in groups)


@dataclass(frozen=True)
class Samples:
    """Every single time of a measurement.

    Attributes:
        batches: by name, for each round the nanoseconds of its batch.
        held: the cores that the thread was pinned to.
        seconds: duration of the whole measurement.
        disturbance: what else the machine did meanwhile.
    """

    batches: Mapping[str, Batches]
    held: tuple[int, ...]
    seconds: float
    disturbance: Disturbance = UNTOLD

    def summarise(self) -> Measurement:
        """Latencies, and how far to trust them."""
        found = summarise(self.batches, self.held, self.seconds)
        return found.model_copy(update={"disturbance": self.disturbance})

    def milliseconds(self, name: str, most: int) -> tuple[float, ...]:
        """Times of one call, sorted; evenly spaced quantiles if there are more than `most`."""
        times = np.sort(_milliseconds(self.batches[name]))
        picked = np.linspace(0, len(times) - 1, min(most, len(times))).round().astype(int)
        return tuple(round(float(time), 6) for time in times[picked])


def summarise(samples: Mapping[str, Batches], held: tuple[int, ...], seconds: float) -> Measurement:
    """The measurement of samples: by name, for each round the nanoseconds of its batch."""
    latencies = {
        name: LatencyStatistics.of(_milliseconds(batches)) for name, batches in samples.items()
    }
    anchors = choose_anchors(latencies)
    rounds = len(next(iter(samples.values())))
    half, quarter = rounds // 2, max(rounds // 4, 1)
    repeats = [abs(_change(b[:half], b[half:])) for b in samples.values()]
    drifts = [_change(samples[name][:quarter], samples[name][-quarter:]) for name in anchors]
    return Measurement(
        latencies=latencies,
        noise_floor=NoiseFloor(
            median=float(np.median(repeats)), p95=float(np.percentile(repeats, 95))
        ),
        drift=float(np.median(drifts)),
        anchors=anchors,
        rounds=rounds,
        pinned_cores=held,
        seconds=seconds,
    )


def choose_anchors(latencies: Mapping[str, LatencyStatistics]) -> tuple[str, ...]:
    """The fastest, the middle and the slowest name by p10; fewer when there are fewer."""
    names = sorted(latencies, key=lambda name: latencies[name].p10_ms)
    return tuple(names[i] for i in sorted({0, len(names) // 2, len(names) - 1}))


def _milliseconds(batches: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(batch, dtype=np.float64) for batch in batches]) / 1e6


def _change(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> float:
    """Relative change of p10 from one group of batches to another."""
    first, second = (float(np.percentile(_milliseconds(b), 10)) for b in (before, after))
    return second / first - 1.0 if first > 0 else 0.0
