"""The measuring protocol, checked; the loop itself is :mod:`tipsc.measure.loop`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from tipsc.measure.loop import MIN_ROUNDS, Call, Clock, Progress, Settings
from tipsc.measure.pinning import select_cores
from tipsc.measure.quiet import collect_quiet
from tipsc.profile.latency import Measurement, Samples
from tipsc.profile.record import Milliseconds, Record
from tipsc.project.target import Target


class Protocol(Record):
    """How to measure. The defaults suit paths between 50 microseconds and 200 milliseconds.

    Attributes:
        warm_up_ms: how long each call runs before anything counts (at least twice).
        rounds: how often every call is visited.
        batch_ms: how long one visit lasts, roughly; it sets the timed runs of a visit.
        time_limit_s: first batches, then rounds are cut to stay below it, but never below 2 runs
            a visit and 4 rounds: less would not be a measurement.
        cores: what the thread is pinned to while measuring; () for not at all.
        seed: of the random order.
        wait_quiet_s: most seconds to wait until other processes leave the cores alone; above 0,
            what was disturbed all the same is measured again, twice at most.
    """

    warm_up_ms: Milliseconds = 50.0
    rounds: Annotated[int, Field(ge=MIN_ROUNDS)] = 20
    batch_ms: Annotated[float, Field(gt=0)] = 10.0
    time_limit_s: Annotated[float, Field(gt=0)] = 300.0
    cores: tuple[int, ...] = ()
    seed: int = 0
    wait_quiet_s: Annotated[float, Field(ge=0)] = 0.0

    @classmethod
    def for_target(cls, target: Target, *, seed: int = 0) -> Protocol:
        """The protocol that a target asks for, with its policy as cores of this machine."""
        measure = target.measure
        return cls(
            warm_up_ms=measure.warm_up_ms,
            rounds=measure.rounds,
            batch_ms=measure.batch_ms,
            time_limit_s=measure.time_limit_s,
            cores=select_cores(measure.pin, target.threads),
            seed=seed,
            wait_quiet_s=measure.wait_quiet_s,
        )

    def settings(self) -> Settings:
        """The same for the loop, which also runs where pydantic is not installed."""
        return Settings(**self.model_dump())


def measure(
    calls: Mapping[str, Call],
    *,
    protocol: Protocol | None = None,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Measurement:
    """Time every call under the protocol; :func:`collect`, summarised."""
    return collect(calls, protocol=protocol, progress=progress, clock=clock).summarise()


def collect(
    calls: Mapping[str, Call],
    *,
    protocol: Protocol | None = None,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Samples:
    """Time every call under the protocol and keep each single time.

    Args:
        calls: name to a callable without arguments; its result is dropped.
        protocol: how to measure; ``Protocol()`` if not given.
        progress: is given the share done (0 to 1) and the seconds left, between batches.
        clock: nanoseconds that only increase.

    Raises:
        ProfileError: there is nothing to measure, or a call failed (it is named).
    """
    settings = (Protocol() if protocol is None else protocol).settings()
    times = collect_quiet(calls, settings, progress, clock)
    return Samples(times.batches, times.held, times.seconds, times.disturbance)
