"""The limits and budgets of a configuration: bounds for a search, and gates for what it found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from tipsc.errors import BudgetError
from tipsc.factors import Additive
from tipsc.project.config import BuildLimits
from tipsc.project.target import BYTES
from tipsc.quality import Quality
from tipsc.search import Limit, refusal
from tipsc.search.candidates import Candidate


@dataclass(frozen=True)
class SearchRecord:
    """What a search says of a candidate, beside its quality.

    Attributes:
        id: of the path.
        expected: merit to choose by; see :class:`tipsc.search.Finalist`.
        latency_ms: p50, measured for the profile or predicted from it.
        measured: which of the two.
    """

    id: str
    expected: float
    latency_ms: float
    measured: bool


@contextmanager
def doubting(noise: str) -> Iterator[None]:
    """Where latencies refuse a limit or a budget, the error says what makes them doubtful.

    Args:
        noise: of the profile; "" if nothing does.
    """
    try:
        yield
    except BudgetError as error:
        if not noise or "_ms" not in f"{error.where} {error.expected}":
            raise
        raise BudgetError(
            error.what,
            where=error.where,
            expected=error.expected,
            got=error.got,
            fix=f"{error.fix}; but {noise}",
        ) from error


def additive_limits(
    limits: BuildLimits,
    totals: Mapping[str, Additive],
    latency: Additive,
    safety: float,
    precision: str = "fp32",
) -> tuple[Limit, ...]:
    """The limits that can be told before a path is evaluated.

    Args:
        latency: predicted, in ms.
        safety: share of the latency limit that a prediction may reach; the rest is the margin.
        precision: of the target, by which weights and values take bytes.
    """
    weights, values, size = totals["parameters"], totals["activation_values"], BYTES[precision]
    bounds = (
        ("latency_ms", latency, limits.latency_ms, 1.0 - safety),
        ("file_bytes", weights * size, limits.file_bytes, 0.0),
        ("memory_bytes", (weights + values) * size, limits.memory_bytes, 0.0),
    )
    return tuple(
        Limit(name, cost, most, margin) for name, cost, most, margin in bounds if most is not None
    )


def check_engine(
    limits: BuildLimits, file: FilePath, latencies: Mapping[str, float], noise: str = ""
) -> None:
    """Holds a finished engine against the limits that only it can be held against.

    Args:
        latencies: p50 of each path in the engine, in ms.
        noise: what makes them doubtful.

    Raises:
        BudgetError: the file is too large, or a path too slow.
    """
    size = file.stat().st_size
    if limits.file_bytes is not None and size > limits.file_bytes:
        raise BudgetError(
            "the engine file is larger than this limit",
            where="build.limits.file_bytes",
            expected=f"at most {limits.file_bytes:,.0f} bytes",
            got=f"{size:,}",
            fix="ask for fewer paths, or raise the limit",
        )
    slowest = max(latencies, key=lambda name: latencies[name])
    if limits.latency_ms is not None and latencies[slowest] > limits.latency_ms:
        raise BudgetError(
            f"path {slowest} is slower in the engine than was predicted, and exceeds this limit",
            where="build.limits.latency_ms",
            expected=f"at most {limits.latency_ms:.4g} ms",
            got=f"{latencies[slowest]:.4g} ms",
            fix=noise or "lower the limit a little, or build with --wait-quiet 60",
        )


def check_budgets(budgets: Sequence[float], fastest: float) -> None:
    """Refuses budgets in ms that no path fits: the fastest would stand in silently."""
    too_small = [budget for budget in budgets if budget < fastest]
    if too_small:
        raise BudgetError(
            "no path is as fast as this budget",
            where="build.budgets_ms",
            expected=f"at least {fastest:.4g} ms, the prediction for the fastest path",
            got=", ".join(f"{budget:g} ms" for budget in too_small),
            fix="raise the budget, or train a supernet with smaller paths",
        )


def required_by(limits: BuildLimits, measure: Quality) -> Quality | None:
    """The worst quality that a path may have; None without such a limit.

    Args:
        measure: any value of the quality that paths are judged by.

    Raises:
        DataError: the limit is no value of it.
    """
    return None if limits.quality is None else replace(measure, value=limits.quality)


def within_limits(
    candidates: list[Candidate], records: list[SearchRecord], limits: BuildLimits
) -> tuple[list[Candidate], list[SearchRecord]]:
    """The pairs that keep what only an evaluation, or a measurement, can tell."""
    required, slowest = required_by(limits, candidates[0].judged), limits.latency_ms or math.inf
    pairs = list(zip(candidates, records, strict=True))
    kept = [
        (c, r)
        for c, r in pairs
        if (required is None or c.judged.above(required) >= 0) and r.latency_ms <= slowest
    ]
    if not kept:
        candidate, record = max(
            pairs, key=lambda pair: (pair[1].latency_ms <= slowest, pair[0].judged.merit)
        )
        raise refusal(
            {"latency_ms": f"latency_ms at most {slowest:,.6g}"} if limits.latency_ms else {},
            candidate.path,
            {"latency_ms": record.latency_ms},
            (required, candidate.judged) if required is not None else None,
        )
    return [c for c, _ in kept], [r for _, r in kept]
