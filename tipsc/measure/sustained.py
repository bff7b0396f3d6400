"""Measuring for minutes: how latency and ranking change while the device heats up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median

from tipsc.measure.disturbance import noise_of
from tipsc.measure.loop import Call, Clock, Progress, Settings, collect_times

#: temperatures in degrees Celsius by zone, of those that can be read
Temperatures = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Window:
    """Some rounds of a sustained measurement.

    Attributes:
        seconds: since the beginning, at the end of the window.
        p10_ms, p50_ms: of each path.
        celsius: by thermal zone, at the end of the window.
        noise: what else made calls slower than heat; "" if nothing did.
    """

    seconds: float
    p10_ms: Mapping[str, float]
    p50_ms: Mapping[str, float]
    celsius: Mapping[str, float]
    noise: str = ""


@dataclass(frozen=True)
class Drift:
    """The last window against the first, by p10, which other work on the device moves least.

    Attributes:
        slowdown: median over the paths of last / first; above 1 is slower.
        warmest: zone that is the hottest at the end, with its first and last temperature; None
            where no zone can be read.
        rank_correlation: Kendall's tau between the two orders of the paths: 1 for the same order,
            -1 for the reverse; 1 when there is one path.
        swapped: pairs of paths whose order changed, by more than `floor` in both windows.
    """

    slowdown: float
    warmest: tuple[str, float, float] | None
    rank_correlation: float
    swapped: tuple[tuple[str, str], ...]


def sustain(
    calls: Mapping[str, Call],
    settings: Settings,
    seconds: float,
    temperatures: Temperatures,
    progress: Progress | None,
    clock: Clock,
) -> list[Window]:
    """Measures window after window without a pause until `seconds` have passed; at least two."""
    begin = clock()
    windows: list[Window] = []
    while len(windows) < 2 or (clock() - begin) / 1e9 < seconds:
        left = max(seconds - (clock() - begin) / 1e9, 0.0)
        limits = replace(settings, seed=settings.seed + len(windows), time_limit_s=max(left, 1.0))
        if windows:
            limits = replace(limits, warm_up_ms=0.0)
        times = collect_times(calls, limits, None, clock)
        sorted_ms = {
            name: sorted(ns / 1e6 for batch in batches for ns in batch)
            for name, batches in times.batches.items()
        }
        p10_ms = {name: values[len(values) // 10] for name, values in sorted_ms.items()}
        p50_ms = {name: median(values) for name, values in sorted_ms.items()}
        elapsed = (clock() - begin) / 1e9
        noise = noise_of(times.disturbance)
        windows.append(Window(elapsed, p10_ms, p50_ms, dict(temperatures()), noise))
        if progress is not None:
            progress(min(elapsed / max(seconds, 1e-9), 1.0), max(seconds - elapsed, 0.0))
    return windows


def drift_of(windows: list[Window], floor: float = 0.0) -> Drift:
    """How the last window differs from the first.

    Args:
        windows: at least two.
        floor: relative gap below which two paths count as ties.
    """
    first, last = windows[0], windows[-1]
    names = list(first.p10_ms)
    agree, pairs, swapped = 0, 0, []
    for a, b in combinations(names, 2):
        before = _order(first.p10_ms[a], first.p10_ms[b], 0.0)
        after = _order(last.p10_ms[a], last.p10_ms[b], 0.0)
        agree += before * after
        pairs += 1
        clear = [_order(w.p10_ms[a], w.p10_ms[b], floor) for w in (first, last)]
        if clear[0] * clear[1] < 0:
            swapped.append((a, b))
    zones = [name for name in last.celsius if name in first.celsius]
    hottest = max(zones, key=lambda name: last.celsius[name], default=None)
    return Drift(
        slowdown=median(last.p10_ms[name] / first.p10_ms[name] for name in names),
        warmest=(hottest, first.celsius[hottest], last.celsius[hottest]) if hottest else None,
        rank_correlation=agree / pairs if pairs else 1.0,
        swapped=tuple(swapped),
    )


def _order(a: float, b: float, floor: float) -> int:
    """-1 when `a` is faster by more than `floor`, 1 when `b` is, else 0."""
    if a * (1.0 + floor) < b:
        return -1
    return 1 if b * (1.0 + floor) < a else 0
