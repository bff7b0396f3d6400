"""Stage ``choose``: the paths that ship, with a scale of their own where they need it.

Needs the candidates that the search found.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from tipsc import search
from tipsc.elastic import Supernet, extract
from tipsc.engine.atomic import write_atomically
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.profile import load_profile
from tipsc.pipeline.search import SEARCH, load_records
from tipsc.pipeline.train import trained_supernet
from tipsc.progress import Progress
from tipsc.search.candidates import Candidate, load_candidates, save_candidates
from tipsc.train import calibrate, quality_of

FILE = "chosen.json"


def _inputs(project: TargetProject) -> dict[str, object]:
    build = project.config.build
    return {
        "search": project.done(SEARCH).key,
        "paths": build.paths,
        "own_scale_above": build.own_scale_above,
    }


def _make(project: TargetProject, folder: Path, progress: Progress) -> None:
    supernet = trained_supernet(project)
    found = load_candidates(project.done(SEARCH).folder, supernet.space)
    selections = select(project, found)
    by_id = {candidate.path.id: candidate for candidate in found}
    chosen = []
    for done, selection in enumerate(selections, 1):
        chosen.append(with_best_scale(project, supernet, by_id[selection.path_id]))
        progress(done, len(selections), "scales")
    save_candidates(folder, chosen)
    write_atomically(
        folder / FILE, [json.dumps([asdict(s) for s in selections], indent=1).encode()]
    )


CHOOSE: StageSpec[TargetProject] = StageSpec("choose", _inputs, _make)


def select(project: TargetProject, found: list[Candidate]) -> tuple[search.Selection, ...]:
    """Which of the candidates ship, by quality and latency, or where there is none, MACs."""
    count = project.config.build.paths
    if project.plan.by_macs:
        # Millions of MACs stand where milliseconds would: only their order and ratios count.
        return search.choose(
            [search.Rated(c.path.id, c.judged.merit, c.macs / 1e6) for c in found], count
        )
    records = load_records(project.done(SEARCH).folder)
    return search.choose(
        [search.Rated(r.id, r.expected, r.latency_ms) for r in records.values()],
        count,
        spread=load_profile(project).noise_floor.p95,
    )


def with_best_scale(project: TargetProject, supernet: Supernet, candidate: Candidate) -> Candidate:
    """The candidate with its own batch-norm scale, if it loses too much with the shared."""
    limit = project.config.build.own_scale_above
    if limit is None or not candidate.statistics.mean:
        return candidate
    batches = project.data.calibration(project.config.build.calibration_images)
    own = calibrate(supernet, candidate.path, batches, own_scale=True)
    module = extract(supernet, candidate.path, own)
    quality = quality_of(module, project.data.validation, project.data.task)
    if quality.above(candidate.judged) <= limit:
        return candidate
    return replace(candidate, statistics=own, quality=quality)


def load_selections(folder: Path) -> dict[str, search.Selection]:
    """Why each path ships, by its id."""
    found = [search.Selection(**fields) for fields in json.loads((folder / FILE).read_text())]
    return {selection.path_id: selection for selection in found}
