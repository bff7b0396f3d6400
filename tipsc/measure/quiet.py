"""Measuring when it is quiet: wait for it, and measure again what was disturbed all the same.

Both have an end: `wait_quiet_s` seconds are waited at most, all together, and everything is
measured at most :data:`MOST_MEASURED` times. Whatever comes of it, something is measured, and
:class:`tipsc.measure.disturbance.Disturbance` tells what happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tipsc.measure.disturbance import noise_of, severity
from tipsc.measure.loop import Call, Clock, Progress, Settings, Times, collect_times
from tipsc.measure.others import Counters, others_between, read_counters

MOST_MEASURED = 3
#: share of the cores that others may have for a moment to be quiet; see `disturbance`
MOST_OTHERS = 0.05
_WINDOW_S = 0.5  # a reading is 50 ticks long
_WINDOWS = 2  # one after another

Sleep = Callable[[float], object]


def longest_s(settings: Settings) -> float:
    """The most seconds that :func:`collect_quiet` may take: for who waits at the other end."""
    # A measurement that only needs its least number of runs may take longer than it should.
    times = MOST_MEASURED if settings.wait_quiet_s else 1
    return times * 2 * settings.time_limit_s + settings.wait_quiet_s


def collect_quiet(
    calls: Mapping[str, Call],
    settings: Settings,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Times:
    """Times of every call; see :func:`tipsc.measure.loop.collect_times`.

    With ``settings.wait_quiet_s`` above 0 it waits before, and measures again what was disturbed.
    """
    limit_s = settings.wait_quiet_s
    paused_s = wait_until_quiet(settings.cores, limit_s, progress)
    best = collect_times(calls, settings, progress, clock)
    measured = 1
    while limit_s and noise_of(best.disturbance) and measured < MOST_MEASURED:
        paused_s += wait_until_quiet(settings.cores, limit_s - paused_s, progress)
        other = replace(settings, seed=settings.seed + measured)
        now = collect_times(calls, other, progress, clock)
        best = min(best, now, key=lambda times: severity(times.disturbance))
        measured += 1
    told = replace(best.disturbance, measured=measured, paused_s=paused_s)
    return replace(best, disturbance=told)


def wait_until_quiet(
    cores: Sequence[int],
    limit_s: float,
    progress: Progress | None = None,
    sleep: Sleep = time.sleep,
    read: Callable[[], Counters] = read_counters,
) -> float:
    """Waits until others leave the cores alone; gives the seconds, never much above `limit_s`.

    Args:
        cores: that will be measured on; all if there is none.
        limit_s: 0 or less: there is no wait. Nor is there one where the system does not tell.
        progress: once others were seen, is told a share of 0 while it waits, and the seconds that
            it began with: so long it takes at most.
    """
    if limit_s <= 0:
        return 0.0
    before = first = read()
    quiet = 0
    while before.at_s - first.at_s < limit_s:
        sleep(_WINDOW_S)
        now = read()
        others = others_between(before, now, cores)
        before = now
        if others.others is None:
            break
        taken = others.others + (others.stolen or 0.0)
        quiet = quiet + 1 if taken <= MOST_OTHERS else 0
        if quiet == _WINDOWS:
            break
        if progress is not None and not quiet:
            progress(0.0, limit_s)
    return before.at_s - first.at_s
