"""Stage ``search``: the candidates, calibrated and evaluated.

Needs the trained supernet, and the profile, whose costs the chain draws paths by; where nothing
was measured, paths spread over their MACs stand in.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path as FilePath

import numpy as np

from tipsc.dtmc.folded import FoldedChain
from tipsc.elastic import Supernet
from tipsc.engine.atomic import write_atomically
from tipsc.errors import ProfileError
from tipsc.factors import Additive
from tipsc.paths import Path
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.fold import FEWEST, cost_of_profile, features_of, predictor_of_profile
from tipsc.pipeline.limits import (
    SearchRecord,
    additive_limits,
    check_budgets,
    doubting,
    within_limits,
)
from tipsc.pipeline.profile import load_profile, measured_key, tools
from tipsc.pipeline.train import TRAIN, trained_supernet
from tipsc.profile import Predictor, Profile
from tipsc.progress import Progress
from tipsc.project.config import Build
from tipsc.search import Rung, rungs, search, spaced_budgets
from tipsc.search.candidates import Candidate, assess, draw_spread, save_candidates
from tipsc.train import Data

_RECORDS = "search.json"


def search_paths(
    supernet: Supernet,
    data: Data,
    profile: Profile,
    totals: Mapping[str, Additive],
    build: Build,
    seed: int,
    progress: Progress,
    precision: str = "fp32",
) -> tuple[list[Candidate], list[SearchRecord]]:
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
        check_budgets(build.budgets_ms, FoldedChain.of(cost).cost_range[0])
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
        return [candidate.judged.merit for candidate in assessed]

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
        SearchRecord(finalist.path.id, finalist.expected, *latency)
        for finalist, latency in zip(result.finalists, latencies, strict=True)
    ]
    return within_limits(candidates, records, build.limits)


def save_records(folder: FilePath, records: Sequence[SearchRecord]) -> None:
    """Writes them as JSON."""
    text = json.dumps([asdict(record) for record in records], indent=1)
    write_atomically(folder / _RECORDS, [text.encode()])


def load_records(folder: FilePath) -> dict[str, SearchRecord]:
    """The inverse of :func:`save_records`, by path id."""
    records = [SearchRecord(**fields) for fields in json.loads((folder / _RECORDS).read_text())]
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


def _inputs(project: TargetProject) -> dict[str, object]:
    build = project.config.build
    shared: dict[str, object] = {
        "data": project.data.validation.fingerprint,
        "task": [project.data.task.name, project.data.task.measure],
        "paths": build.paths,
        "evaluations": build.evaluations,
        "calibration_images": build.calibration_images,
        "seed": project.config.seed,
    }
    if project.plan.by_macs:
        trained = project.done(TRAIN).key
        return {"trained": trained, "by": "macs", **shared, **tools(project.target)}
    return {
        "profile": measured_key(project),
        "budgets_ms": build.budgets_ms,
        "limits": build.limits.model_dump(),
        **shared,
    }


def _make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    build, supernet = project.config.build, trained_supernet(project)
    if project.plan.by_macs:
        generator = random.Random(project.config.seed)
        count = max(build.evaluations, build.paths)
        paths = draw_spread(supernet.space, project.totals["macs"], count, generator)
        found = assess(supernet, paths, project.data, build.calibration_images, progress)
        save_candidates(folder, found)
        return
    profile = load_profile(project)
    with doubting(profile.noise):
        candidates, records = search_paths(
            supernet,
            project.data,
            profile,
            project.totals,
            build,
            project.config.seed,
            progress,
            project.target.precision,
        )
    save_candidates(folder, candidates)
    save_records(folder, records)


SEARCH: StageSpec[TargetProject] = StageSpec("search", _inputs, _make)
