"""From a profile to the paths that could be shipped: the search on a real supernet."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path as FilePath

import numpy as np

from tipsc.dtmc.folded import FoldedChain
from tipsc.elastic import Supernet
from tipsc.engine.atomic import write_atomically
from tipsc.errors import BudgetError, ProfileError
from tipsc.factors import Additive
from tipsc.paths import Path
from tipsc.pipeline.fold import FEWEST, cost_of_profile, features_of, predictor_of_profile
from tipsc.profile import Predictor, Profile
from tipsc.progress import Progress
from tipsc.project.config import Build, Limits
from tipsc.search import Limit, Rung, refusal, rungs, search, spaced_budgets
from tipsc.search.candidates import Candidate, assess
from tipsc.train import Data

#: of a weight or value, by the target's precision; in int8 biases take more, which is little
BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
_RECORDS = "search.json"


@dataclass(frozen=True)
class Record:
    """What a search says of a candidate, beside its accuracy.

    Attributes:
        id: of the path.
        expected: accuracy to choose by; see :class:`tipsc.search.Finalist`.
        latency_ms: p50, measured for the profile or predicted from it.
        measured: which of the two.
    """

    id: str
    expected: float
    latency_ms: float
    measured: bool


def search_paths(
    supernet: Supernet,
    data: Data,
    profile: Profile,
    totals: Mapping[str, Additive],
    build: Build,
    seed: int,
    progress: Progress,
    precision: str = "fp32",
) -> tuple[list[Candidate], list[Record]]:
    """Searches the paths that could be shipped, and evaluates them in full.

    Args:
        totals: of :func:`tipsc.elastic.additive_totals`.
        precision: of the target; file and memory limits count its bytes.

    Raises:
        BudgetError: no path keeps the limits, or is as fast as a budget.
    """
    predictor = None
    cost = totals["macs"] * 1e-6  # orders the paths of a space that has one or two
    if len(profile.paths) >= FEWEST:
        predictor = predictor_of_profile(profile, totals)
        cost = cost_of_profile(supernet, profile, totals=totals)
        _check_budgets(build.budgets_ms, FoldedChain.of(cost).cost_range[0])
    safety = _safety(predictor, profile, totals)
    bounds = additive_limits(build.limits, totals, cost, safety, precision)
    low, high = FoldedChain.of(cost).cost_range
    high = min([high, *(bound.allowed for bound in bounds if bound.name == "latency_ms")])
    found: dict[Path, Candidate] = {}

    def evaluate(paths: Sequence[Path], rung: Rung) -> list[float]:
        assessed = assess(
            supernet, paths, data, rung.calibration, progress, validation_images=rung.validation
        )
        found.update({candidate.path: candidate for candidate in assessed})
        return [candidate.accuracy for candidate in assessed]

    result = search(
        cost,
        build.budgets_ms or spaced_budgets(low, high, build.paths),
        evaluate,
        rungs(build.calibration_images, len(data.validation)),
        evaluations=build.evaluations,
        limits=bounds,
        seed=seed,
    )
    candidates = [found[finalist.path] for finalist in result.finalists]
    latencies = _latencies(predictor, profile, totals, [c.path for c in candidates])
    records = [
        Record(finalist.path.id, finalist.expected, *latency)
        for finalist, latency in zip(result.finalists, latencies, strict=True)
    ]
    return _within_limits(candidates, records, build.limits)


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
    limits: Limits,
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
    limits: Limits, file: FilePath, latencies: Mapping[str, float], noise: str = ""
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


def _check_budgets(budgets: Sequence[float], fastest: float) -> None:
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


def save_records(folder: FilePath, records: Sequence[Record]) -> None:
    """Writes them as JSON."""
    text = json.dumps([asdict(record) for record in records], indent=1)
    write_atomically(folder / _RECORDS, [text.encode()])


def load_records(folder: FilePath) -> dict[str, Record]:
    """The inverse of :func:`save_records`, by path id."""
    records = [Record(**fields) for fields in json.loads((folder / _RECORDS).read_text())]
    return {record.id: record for record in records}


def _safety(predictor: Predictor | None, profile: Profile, totals: Mapping[str, Additive]) -> float:
    """Predicted latency over the upper end of its interval, for the median measured path."""
    if predictor is None:
        return 1.0
    paths = [profile.search_space.path(path.options) for path in profile.paths]
    prediction = predictor.predict([p.values for p in paths], features_of(totals, paths))
    return float(np.median(prediction.mean / prediction.high))


def _latencies(
    predictor: Predictor | None,
    profile: Profile,
    totals: Mapping[str, Additive],
    paths: Sequence[Path],
) -> list[tuple[float, bool]]:
    """Of each path the p50 in ms, and whether it was measured."""
    measured = {path.id: path.latency.p50_ms for path in profile.paths}
    unknown = [path for path in paths if path.id not in measured]
    predicted: dict[str, float] = {}
    if unknown:
        if predictor is None:
            raise ProfileError("too few paths were measured to predict others")
        values = [path.values for path in unknown]
        mean = predictor.predict(values, features_of(totals, unknown)).mean
        predicted = {path.id: float(ms) for path, ms in zip(unknown, mean, strict=True)}
    return [
        (measured[path.id], True) if path.id in measured else (predicted[path.id], False)
        for path in paths
    ]


def _within_limits(
    candidates: list[Candidate], records: list[Record], limits: Limits
) -> tuple[list[Candidate], list[Record]]:
    """Those that keep what only an evaluation, or a measurement, can tell."""
    required, slowest = limits.accuracy or 0.0, limits.latency_ms or math.inf
    pairs = list(zip(candidates, records, strict=True))
    kept = [(c, r) for c, r in pairs if c.accuracy >= required and r.latency_ms <= slowest]
    if not kept:
        candidate, record = max(
            pairs, key=lambda pair: (pair[1].latency_ms <= slowest, pair[0].accuracy)
        )
        raise refusal(
            {"latency_ms": f"latency_ms at most {slowest:,.6g}"} if limits.latency_ms else {},
            candidate.path,
            {"latency_ms": record.latency_ms},
            (required, candidate.accuracy) if limits.accuracy else None,
        )
    return [c for c, _ in kept], [r for _, r in kept]
