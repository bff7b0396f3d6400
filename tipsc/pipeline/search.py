"""Stage ``search``: the candidates, calibrated and evaluated.

Needs the trained supernet, and the goal: the chain draws paths by what they cost on the target.
Where the paths that ship are trained afterwards, they are looked at with norm statistics of their
own, as a scale that all share is there only at the end of a training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path as FilePath

from tipsc.elastic import Supernet
from tipsc.engine.atomic import write_atomically
from tipsc.paths import Path, SearchSpace
from tipsc.pipeline.asked import extra_candidates
from tipsc.pipeline.asked_paths import asked_paths
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.goal import Goal, goal_of, one_for_each
from tipsc.pipeline.limits import SearchRecord, doubting, within_limits
from tipsc.pipeline.profile import measured_key, tools
from tipsc.pipeline.train import TRAIN, trained_supernet
from tipsc.progress import Progress
from tipsc.project.config import Build
from tipsc.search import Finalist, Rung, rungs, search, within
from tipsc.search.best import searchable
from tipsc.search.candidates import Candidate, assess, save_candidates
from tipsc.search.halving import looked
from tipsc.train import Data

_RECORDS = "search.json"
#: of the compute of the training, for looking at paths that are trained afterwards
_LOOKING = 0.1
#: below so many examples of each kind a look says nothing
_FEWEST = 512
#: a step of training takes as much compute as so many looks at its examples
_STEP = 3
#: paths within the bytes of a goal that are looked at for it
_MORE = 3


def looks(build: Build, data: Data, epochs: int = 0) -> tuple[Rung, Rung]:
    """How many examples the search sees of a path, at first and in full.

    Args:
        epochs: of the training of the paths that are found, if they are trained afterwards. A short
            training is not worth a long look before it: together the looks take a tenth of its
            compute at most, or as many examples as say anything at all.
    """
    calibration, validation = build.calibration_images, len(data.validation)
    if epochs:
        training = _STEP * epochs * len(data.train)
        looking = build.evaluations * (calibration + validation)
        share = min(1.0, _LOOKING * training / looking)
        calibration, validation = (
            max(min(given, _FEWEST), round(share * given)) for given in (calibration, validation)
        )
    return rungs(calibration, validation)


def search_paths(
    supernet: Supernet,
    data: Data,
    goal: Goal,
    build: Build,
    seed: int,
    progress: Progress,
    *,
    trained_later: int = 0,
) -> tuple[list[Candidate], list[SearchRecord]]:
    """Searches the paths that could be shipped, and evaluates them in full.

    Args:
        trained_later: epochs of the training of those that ship, if it comes afterwards; what they
            are worth now is no reason to refuse one then.

    Raises:
        BudgetError: no path keeps the limits.
    """
    found: dict[Path, Candidate] = {}
    both = looks(build, data, trained_later)
    spent = _Spent(progress, _expected(goal.cost.space, build, *both))

    def evaluate(paths: Sequence[Path], rung: Rung) -> list[float]:
        assessed = assess(
            supernet,
            paths,
            data,
            rung.calibration,
            spent.of(len(paths), rung),
            validation_images=rung.validation,
            own_scale=trained_later > 0,
        )
        found.update({candidate.path: candidate for candidate in assessed})
        return [candidate.judged.merit for candidate in assessed]

    result = search(
        goal.cost,
        goal.budgets,
        evaluate,
        both,
        evaluations=build.evaluations,
        limits=goal.limits,
        bands=trained_later > 0,
        seed=seed,
    )
    finalists = [*result.finalists, *_asked_for(goal, build, data, trained_later, found, evaluate)]
    candidates = [found[finalist.path] for finalist in finalists]
    latencies = goal.latencies([candidate.path for candidate in candidates])
    records = [
        SearchRecord(finalist.path.id, finalist.expected, *latency)
        for finalist, latency in zip(finalists, latencies, strict=True)
    ]
    limits = build.limits.model_copy(update={"quality": None} if trained_later else {})
    return within_limits(candidates, records, limits)


def _expected(space: SearchSpace, build: Build, rough: Rung, full: Rung) -> float:
    """About how many images a search shows to paths, all together."""
    shipped = min(build.paths, space.size)
    few, many = looked(min(build.evaluations, space.size), shipped, space.size, rough, full)
    return float(few * rough.images + many * full.images)


class _Spent:
    """Progress over all looks of a search, whose number is known only roughly before."""

    def __init__(self, progress: Progress, expected: float) -> None:
        self._progress, self._expected, self._spent = progress, expected, 0.0

    def of(self, paths: int, rung: Rung) -> Progress:
        """The progress of a look at so many paths."""
        before = self._spent
        self._spent += paths * rung.images

        def tell(done: float, total: float, note: str = "") -> None:
            now = before + done * rung.images
            self._progress(now, max(self._expected, now), note)

        return tell


def _asked_for(
    goal: Goal,
    build: Build,
    data: Data,
    trained_later: int,
    found: Mapping[Path, Candidate],
    evaluate: Callable[[Sequence[Path], Rung], list[float]],
) -> list[Finalist]:
    """Paths that goals need and that a search by latency does not look for, evaluated in full."""
    if not goal.asked:
        return []
    space = searchable(goal.cost.space, goal.cost, *(b.cost for a in goal.asked for b in a.limits))
    best = [space.best(goal.cost, [*goal.limits, *asked.limits], _MORE) for asked in goal.asked]
    wished = extra_candidates(goal.asked, best, goal.cost.space)
    paths = within(goal.limits, [path for path in wished if path not in found])
    _, full = looks(build, data, trained_later)
    merits = evaluate(paths, full) if paths else []
    return [
        Finalist(path, goal.cost.of(path), merit, merit)
        for path, merit in zip(paths, merits, strict=True)
    ]


def assess_paths(
    project: TargetProject,
    goal: Goal,
    supernet: Supernet,
    paths: Sequence[Path],
    progress: Progress,
) -> tuple[list[Candidate], list[SearchRecord]]:
    """What the search would say of paths that are asked for, all of which ship."""
    build = project.config.build
    own_scale = _epochs(project) > 0
    found = assess(
        supernet, paths, project.data, build.calibration_images, progress, own_scale=own_scale
    )
    latencies = goal.latencies(paths)
    records = [
        SearchRecord(candidate.path.id, candidate.judged.merit, *latency)
        for candidate, latency in zip(found, latencies, strict=True)
    ]
    return found, records


def wanted(project: TargetProject) -> Goal:
    """The goal of the search: with a budget for each path, if those are trained afterwards."""
    goal = goal_of(project)
    if project.lessons.narrow is None:
        return goal
    return one_for_each(goal, project.config.build.paths)


def _epochs(project: TargetProject) -> int:
    """Of the training, if paths are trained once they are found."""
    return project.lessons.epochs if project.lessons.narrow is not None else 0


def save_records(folder: FilePath, records: Sequence[SearchRecord]) -> None:
    """Writes them as JSON."""
    text = json.dumps([asdict(record) for record in records], indent=1)
    write_atomically(folder / _RECORDS, [text.encode()])


def load_records(folder: FilePath) -> dict[str, SearchRecord]:
    """The inverse of :func:`save_records`, by path id."""
    records = [SearchRecord(**fields) for fields in json.loads((folder / _RECORDS).read_text())]
    return {record.id: record for record in records}


def _inputs(project: TargetProject) -> dict[str, object]:
    build, roofline = project.config.build, project.plan.roofline
    return {
        "trained": project.done(TRAIN).key,
        "trained_later": _epochs(project),
        "examples": len(project.data.train) if project.lessons.narrow else None,
        "profile": None if project.plan.unmeasured else measured_key(project),
        "roofline": roofline and roofline.model_dump(),
        "data": project.data.validation.fingerprint,
        "task": project.task_key,
        "paths": build.paths,
        "budgets_ms": build.budgets_ms,
        "ship": [wish if isinstance(wish, str) else dict(wish) for wish in build.ship],
        "goals": [goal.model_dump() for goal in build.goals],
        "limits": build.limits.model_dump(),
        "precision": project.target.precision,
        "evaluations": build.evaluations,
        "calibration_images": build.calibration_images,
        "seed": project.config.seed,
        **tools(project.target),
    }


def _make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    goal, supernet = wanted(project), trained_supernet(project)
    if asked := asked_paths(project):
        with project.on_device():
            candidates, records = assess_paths(project, goal, supernet, asked, progress)
        save_candidates(folder, candidates)
        save_records(folder, records)
        return
    with doubting(goal.noise), project.on_device():
        candidates, records = search_paths(
            supernet,
            project.data,
            goal,
            project.config.build,
            project.config.seed,
            progress,
            trained_later=_epochs(project),
        )
    save_candidates(folder, candidates)
    save_records(folder, records)


SEARCH: StageSpec[TargetProject] = StageSpec("search", _inputs, _make)
