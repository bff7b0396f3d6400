"""Stage ``choose``: which of the candidates ship.

Needs the candidates that the search found. Paths as they are make a staircase of quality over
latency, and those are chosen whose staircase is best. Where they are trained afterwards there is no
such staircase yet: then the best is chosen for each budget.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath

from tipsc import search
from tipsc.engine.atomic import write_atomically
from tipsc.errors import UsageError
from tipsc.paths import Path
from tipsc.pipeline.asked import needs_reference, pinned, with_pinned
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.goal import Goal
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
    folder, count = project.done(SEARCH).folder, project.config.build.paths
    records, goal = load_records(folder), wanted(project)
    found = load_candidates(folder, goal.cost.space)
    if project.config.build.ship:
        asked = [search.Rated(r.id, r.expected, r.latency_ms) for r in records.values()]
        return search.selections_of(asked)
    if project.lessons.narrow is not None:
        # By the cost that the budgets are of: one that was measured may lie above the last of them.
        costs = {candidate.path.id: goal.cost.of(candidate.path) for candidate in found}
        rated = [search.Rated(r.id, r.expected, costs[r.id]) for r in records.values()]
        chosen = search.for_budgets(rated, goal.budgets, blind=_blind(project, found))
    else:
        rated = [search.Rated(r.id, r.expected, r.latency_ms) for r in records.values()]
        spread = 0.0 if project.plan.unmeasured else load_profile(project).noise_floor.p95
        chosen = search.choose(rated, count, spread=spread)
    if not goal.asked:
        return chosen
    kept = _for_goals(project, goal, found, {r.path_id: r.merit for r in rated}, chosen)
    return search.selections_of(r for r in rated if r.path_id in kept)


def _for_goals(
    project: TargetProject,
    goal: Goal,
    found: Sequence[Candidate],
    merits: Mapping[str, float],
    chosen: Sequence[search.Selection],
) -> frozenset[str]:
    """Ids of the paths that ship: those that goals need, and of the chosen ones as many as fit."""
    paths, space = {c.path.id: c.path for c in found}, goal.cost.space
    known = {path: merits[name] for name, path in paths.items()}
    later = project.lessons.narrow is not None
    first = pinned(goal.asked, known, goal.cost, None if later else known.get(space.largest))
    if project.model.original is None and needs_reference(project.config.build.goals):
        first = tuple(dict.fromkeys([*first, *(p for p in known if p == space.largest)]))
    others = [paths[selection.path_id] for selection in chosen]
    count = max(project.config.build.paths, len(first))
    return frozenset(p.id for p in with_pinned(first, others, goal.cost, count))


def _blind(project: TargetProject, found: Sequence[Candidate]) -> frozenset[str]:
    """Ids of those that score what answers score which do not depend on the input."""
    chance = project.data.judged_by.chance(targets_of(project.data.validation))
    if chance is None:
        return frozenset()
    scores = {candidate.path.id: candidate.judged.merit for candidate in found}
    return frozenset(i for i, s in scores.items() if math.isclose(s, chance.merit, rel_tol=_SAME))
