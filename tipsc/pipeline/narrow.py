"""Stage ``narrow``: the paths that ship are trained, and nothing else any more.

Needs the trained supernet and the paths that were chosen (:mod:`tipsc.pipeline.choose`). Its key is
over these paths and not over how they were found: a device that is measured again, and whose paths
stay the same, trains nothing again.
"""

from __future__ import annotations

from pathlib import Path

from tipsc.elastic import Supernet
from tipsc.pipeline.again import AGAIN, like_of
from tipsc.pipeline.choose import shipping
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.train import TRAIN, WEIGHTS, loaded, taught_by, teach, trained_supernet
from tipsc.progress import Progress


def _inputs(project: TargetProject) -> dict[str, object]:
    settings = project.lessons.narrow
    assert settings is not None
    return {
        "trained": project.done(TRAIN).key,
        "paths": [path.id for path in shipping(project)],
        "train": settings.essence(),
        **taught_by(project),
    }


def _make(project: TargetProject, folder: Path, progress: Progress) -> None:
    settings = project.lessons.narrow
    assert settings is not None
    # A process on another machine may not have them: a training begins with the first one's.
    if (project.done(TRAIN).folder / WEIGHTS).exists():
        trained_supernet(project)
    teach(project, settings, folder, progress, shipping(project))


NARROW: StageSpec[TargetProject] = StageSpec("narrow", _inputs, _make, resumable=True)


def narrowed_supernet(project: TargetProject) -> Supernet:
    """The supernet with the weights that ship, in evaluation mode."""
    if like_of(project) is not None:
        return loaded(project, project.done(AGAIN).folder)
    if project.lessons.narrow is None:
        return trained_supernet(project)
    return loaded(project, project.done(NARROW).folder)


def shipped_key(project: TargetProject) -> str:
    """Of the stage with the weights that ship."""
    if like_of(project) is not None:
        return project.done(AGAIN).key
    return project.done(TRAIN if project.lessons.narrow is None else NARROW).key
