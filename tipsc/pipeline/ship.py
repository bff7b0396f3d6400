"""Stage ``ship``: the chosen paths as they ship: statistics, quality, and what is their own.

Needs the weights that ship and the paths that were chosen. Those that were trained since they were
chosen are calibrated and evaluated again. A path that loses too much by the scale that all share
gets a scale, and thus weights, of its own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath

from tipsc.elastic import Supernet, extract
from tipsc.pipeline.choose import CHOOSE, shipping
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.limits import within_limits
from tipsc.pipeline.narrow import narrowed_supernet, shipped_key
from tipsc.pipeline.search import SEARCH, load_records
from tipsc.progress import Progress
from tipsc.search.candidates import Candidate, assess, load_candidates, save_candidates
from tipsc.train import calibrate, quality_of


def _inputs(project: TargetProject) -> dict[str, object]:
    build = project.config.build
    return {
        "weights": shipped_key(project),
        "chosen": project.done(CHOOSE).key,
        "data": project.data.validation.fingerprint,
        "calibration_images": build.calibration_images,
        "limits": build.limits.model_dump(),
        "own_scale_above": build.own_scale_above,
    }


def _make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    supernet = narrowed_supernet(project)
    found = _evaluated(project, supernet, progress)
    shipped = []
    for done, candidate in enumerate(found, 1):
        shipped.append(with_best_scale(project, supernet, candidate))
        progress(done, len(found), "scales")
    save_candidates(folder, shipped)


SHIP: StageSpec[TargetProject] = StageSpec("ship", _inputs, _make)


def shipped(project: TargetProject) -> list[Candidate]:
    """The paths as they ship, from fast to slow."""
    return load_candidates(project.done(SHIP).folder, project.untrained.space)


def _evaluated(project: TargetProject, supernet: Supernet, progress: Progress) -> list[Candidate]:
    """The chosen paths with the weights that ship, those that keep the limits."""
    build, paths, searched = project.config.build, shipping(project), project.done(SEARCH).folder
    if project.lessons.narrow is None:  # evaluated by the search, with these weights
        by_id = {c.path.id: c for c in load_candidates(searched, supernet.space)}
        return [by_id[path.id] for path in paths]
    found = assess(supernet, paths, project.data, build.calibration_images, progress)
    records = load_records(searched)
    return within_limits(found, [records[path.id] for path in paths], build.limits)[0]


def with_best_scale(project: TargetProject, supernet: Supernet, candidate: Candidate) -> Candidate:
    """The candidate with its own batch-norm scale, if it loses too much with the shared."""
    limit = project.config.build.own_scale_above
    if limit is None or not candidate.statistics.mean:
        return candidate
    batches = project.data.calibration(project.config.build.calibration_images)
    own = calibrate(supernet, candidate.path, batches, own_scale=True)
    module = extract(supernet, candidate.path, own)
    quality = quality_of(module, project.data.validation, project.data.judged_by)
    if quality.above(candidate.judged) <= limit:
        return candidate
    return replace(candidate, statistics=own, quality=quality)
