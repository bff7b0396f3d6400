"""Stage ``ship``: the chosen paths as they ship: statistics, quality, and what is their own.

Needs the weights that ship and the paths that were chosen. Those that were trained since they were
chosen are calibrated and evaluated again. A path that loses too much by sharing gets what it lacks
for itself (:mod:`tipsc.pipeline.own`).
"""

from __future__ import annotations

from pathlib import Path as FilePath

from tipsc.elastic import Supernet
from tipsc.pipeline.again import AGAIN, like_of
from tipsc.pipeline.choose import CHOOSE, shipping
from tipsc.pipeline.climbs import PathClimb
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.limits import within_limits
from tipsc.pipeline.narrow import narrowed_supernet, shipped_key
from tipsc.pipeline.own import climbed, load_climbs, owned_by
from tipsc.pipeline.search import SEARCH, load_records
from tipsc.pipeline.stages import StageDone
from tipsc.progress import Progress, part
from tipsc.search.candidates import Candidate, assess, load_candidates, save_candidates


def _inputs(project: TargetProject) -> dict[str, object]:
    build = project.config.build
    return {
        "weights": shipped_key(project),
        "chosen": project.done(CHOOSE).key,
        "data": project.data.validation.fingerprint,
        "calibration_images": build.calibration_images,
        "limits": build.limits.model_dump(),
        **owned_by(project),
    }


def _make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    supernet = narrowed_supernet(project)
    with project.on_device():
        climbs = project.config.build.share_loss is not None  # which takes most of the time
        share = 0.1 if climbs else 1.0
        found = _evaluated(project, supernet, part(progress, 0.0, share))
        rest = part(progress, share, 1.0)
        save_candidates(folder, climbed(project, supernet, found, folder, rest))


SHIP: StageSpec[TargetProject] = StageSpec("ship", _inputs, _make, resumable=True)


def ship_stage(project: TargetProject) -> StageDone:
    """The stage with the paths as they ship."""
    return project.done(SHIP if like_of(project) is None else AGAIN)


def shipped(project: TargetProject) -> list[Candidate]:
    """The paths as they ship, in the order in which an engine has them."""
    return load_candidates(ship_stage(project).folder, project.untrained.space)


def climbs(project: TargetProject) -> tuple[PathClimb, ...]:
    """What they were given for themselves; nothing where that is off."""
    return load_climbs(project.done(SHIP).folder)


def _evaluated(project: TargetProject, supernet: Supernet, progress: Progress) -> list[Candidate]:
    """The chosen paths with the weights that ship, those that keep the limits."""
    build, paths, searched = project.config.build, shipping(project), project.done(SEARCH).folder
    if project.lessons.narrow is None:  # evaluated by the search, with these weights
        by_id = {c.path.id: c for c in load_candidates(searched, supernet.space)}
        if unseen := [path for path in paths if path.id not in by_id]:  # of an engine to be like
            found = assess(supernet, unseen, project.data, build.calibration_images, progress)
            by_id |= {candidate.path.id: candidate for candidate in found}
        return [by_id[path.id] for path in paths]
    found = assess(supernet, paths, project.data, build.calibration_images, progress)
    if project.like is not None:
        return found
    records = load_records(searched)
    return within_limits(found, [records[path.id] for path in paths], build.limits)[0]
