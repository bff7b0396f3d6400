"""Stage ``choose``: which of the candidates ship.

Needs the candidates that the search found. Paths as they are make a staircase of quality over
latency, and those are chosen whose staircase is best. Where they are trained afterwards there is no
such staircase yet: then the best is chosen for each budget.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path as FilePath

from tipsc import search
from tipsc.engine.atomic import write_atomically
from tipsc.errors import UsageError
from tipsc.paths import Path
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.profile import load_profile
from tipsc.pipeline.search import SEARCH, load_records, wanted
from tipsc.progress import Progress
from tipsc.search.candidates import Candidate, load_candidates
from tipsc.train.data import targets_of

FILE = "chosen.json"
_SAME = 1e-5  # of a score: what sums of float32 in another order differ by


def _inputs(project: TargetProject) -> dict[str, object]:
    like = {} if project.like is None else {"like": [path.id for path in kept_paths(project)]}
    return {"search": project.done(SEARCH).key, "paths": project.config.build.paths, **like}


def _make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    found = load_candidates(project.done(SEARCH).folder, project.untrained.space)
    by_id = {candidate.path.id: dict(candidate.path.items) for candidate in found}
    selected = select(project)
    if project.like is None:
        chosen = [by_id[selection.path_id] for selection in selected]
    else:
        kept = {path.id: dict(path.items) for path in kept_paths(project)}
        best_first = sorted(selected, key=lambda selection: -selection.merit)
        added = [by_id[s.path_id] for s in best_first if s.path_id not in kept]
        chosen = [*kept.values(), *added[: project.config.build.paths - len(kept)]]
    write_atomically(folder / FILE, [json.dumps(chosen, indent=1).encode()])


def kept_paths(project: TargetProject) -> tuple[Path, ...]:
    """The paths of the engine that the new one shall be like.

    Raises:
        UsageError: there are more than paths are asked for, or it is of another space.
    """
    like, most = project.like, project.config.build.paths
    assert like is not None
    paths = like.paths(project.untrained)
    if len(paths) > most:
        raise UsageError(
            "this engine has more paths than the configuration asks for",
            where=str(like.file),
            expected=f"build.paths: {len(paths)} or more",
            got=most,
            fix="raise build.paths, or leave --like out",
        )
    return paths


CHOOSE: StageSpec[TargetProject] = StageSpec("choose", _inputs, _make)


def shipping(project: TargetProject) -> tuple[Path, ...]:
    """The paths that ship, in the order in which an engine has them: from fast to slow, but that of
    an engine to be like comes first.
    """
    if project.told is not None:
        return project.told
    chosen = json.loads((project.done(CHOOSE).folder / FILE).read_text())
    return tuple(project.untrained.space.path(options) for options in chosen)


def select(project: TargetProject) -> tuple[search.Selection, ...]:
    """Which of the candidates ship, by merit and cost."""
    folder = project.done(SEARCH).folder
    records = load_records(folder)
    if project.lessons.narrow is not None:
        goal = wanted(project)
        # By the cost that the budgets are of: one that was measured may lie above the last of them.
        found = load_candidates(folder, goal.cost.space)
        costs = {candidate.path.id: goal.cost.of(candidate.path) for candidate in found}
        rated = [search.Rated(r.id, r.expected, costs[r.id]) for r in records.values()]
        return search.for_budgets(rated, goal.budgets, blind=_blind(project, found))
    rated = [search.Rated(r.id, r.expected, r.latency_ms) for r in records.values()]
    spread = 0.0 if project.plan.unmeasured else load_profile(project).noise_floor.p95
    return search.choose(rated, project.config.build.paths, spread=spread)


def _blind(project: TargetProject, found: Sequence[Candidate]) -> frozenset[str]:
    """Ids of those that score what answers score which do not depend on the input."""
    chance = project.data.judged_by.chance(targets_of(project.data.validation))
    if chance is None:
        return frozenset()
    scores = {candidate.path.id: candidate.judged.merit for candidate in found}
    return frozenset(i for i, s in scores.items() if math.isclose(s, chance.merit, rel_tol=_SAME))
