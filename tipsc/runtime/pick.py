"""Which path to run in the time that there is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real

import numpy as np

from tipsc.engine.manifest import Latency, PathEntry
from tipsc.errors import BudgetError, UsageError, near

PERCENTILES = ("p10", "p50", "p95")


def latency_ms(latency: Latency, percentile: str) -> float:
    """One of the percentiles ``p10``, ``p50``, ``p95``, in milliseconds."""
    if percentile not in PERCENTILES:
        raise UsageError(f"no percentile {percentile!r}", fix=near(str(percentile), PERCENTILES))
    return float(getattr(latency, f"{percentile}_ms"))


def check_budget(budget_ms: object) -> float:
    """A time budget as a number.

    Raises:
        UsageError: it is none, or not positive.
    """
    number = isinstance(budget_ms, Real | np.number) and not isinstance(budget_ms, bool)
    if not number or not float(budget_ms) > 0:  # type: ignore[arg-type]
        raise UsageError(
            "this is no time budget",
            where="budget_ms",
            expected="milliseconds: a number above 0",
            got=repr(budget_ms),
        )
    return float(budget_ms)  # type: ignore[arg-type]


def of_batch(paths: Iterable[PathEntry], batch: int | None = None) -> tuple[PathEntry, ...]:
    """The paths whose calls have so many examples.

    Args:
        batch: how many; None: as few as any path takes.

    Raises:
        UsageError: no path takes so many.
    """
    known = tuple(paths)
    sizes = sorted({path.batch for path in known})
    wanted = sizes[0] if batch is None and sizes else batch
    if known and wanted not in sizes:
        raise UsageError(
            f"no path of this engine takes {wanted} examples at once",
            where="batch",
            expected=" or ".join(map(str, sizes)),
            got=repr(batch),
            fix=f"fill the batch up, or build with {wanted} in build.batch",
        )
    return tuple(path for path in known if path.batch == wanted)


def worth(path: PathEntry) -> tuple[bool, float]:
    """Sorts the best last; without a measured quality, the path with the most MACs is the best."""
    return path.quality is not None, path.quality.merit if path.quality is not None else path.macs


def merit(path: PathEntry) -> tuple[bool, float, float]:
    """As :func:`worth`, and of equally good paths the fastest last."""
    return *worth(path), -path.latency.p50_ms if path.latency else -math.inf


def pick(
    paths: Iterable[PathEntry],
    budget_ms: float,
    *,
    percentile: str = "p95",
    slowdown: float = 1.0,
) -> PathEntry:
    """The best path whose latency times `slowdown` is within the budget.

    Of equally good paths the fastest; where qualities were not measured, the path with the most
    MACs stands for the best. Paths without a latency are never picked.

    Args:
        paths: entries of a manifest.
        budget_ms: time for one call, in milliseconds.
        percentile: which latency has to fit: ``p10``, ``p50`` or ``p95``.
        slowdown: how much slower the device is now than when it was profiled.

    Raises:
        BudgetError: no path fits; names the fastest.
        UsageError: `budget_ms` is no positive number, or there is no such percentile.
    """
    budget_ms = check_budget(budget_ms)
    known = [
        (latency_ms(path.latency, percentile) * slowdown, path) for path in paths if path.latency
    ]
    if not known:
        raise BudgetError(
            "no path of this engine has a measured latency", fix="build it with a profile"
        )
    fitting = [(ms, path) for ms, path in known if ms <= budget_ms]
    if not fitting:
        ms, fastest = min(known, key=lambda item: item[0])
        raise BudgetError(
            f"no path fits a budget of {budget_ms:g} ms: the fastest, {fastest.id}, takes "
            f"{ms:.3g} ms at {percentile}" + (f", slowed {slowdown:.2f}x" if slowdown != 1 else ""),
            expected=f"budget_ms >= {ms:.3g}",
            got=budget_ms,
        )

    return max((path for _, path in fitting), key=merit)
