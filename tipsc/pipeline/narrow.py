"""Stage ``narrow``: the paths that ship are trained, and nothing else any more.

Needs the trained supernet and the paths that were chosen (:mod:`tipsc.pipeline.choose`); where one
training is for several targets (:mod:`tipsc.pipeline.together`), those of each. Its key is over
these paths and not over how they were found: a device that is measured again, and whose paths stay
the same, trains nothing again.
"""

from __future__ import annotations

from pathlib import Path

from tipsc.dtmc.shipping import Shipping
from tipsc.elastic import Supernet
from tipsc.paths import Path as Subnet
from tipsc.pipeline.again import AGAIN, like_of
from tipsc.pipeline.choose import shipping
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.stages import TOGETHER
from tipsc.pipeline.train import TRAIN, WEIGHTS, loaded, taught_by, teach, trained_supernet
from tipsc.progress import Progress
from tipsc.train.macs import mac_counter


def _inputs(project: TargetProject) -> dict[str, object]:
    settings = project.lessons.narrow
    assert settings is not None
    return {
        "trained": project.done(TRAIN).key,
        **_drawn(project),
        "train": settings.essence(),
        **taught_by(project),
    }


def _drawn(project: TargetProject) -> dict[str, object]:
    """What is trained, of each target: the same targets with the same paths, the same training."""
    parts = [[path.id for path in paths] for paths in _of_each(project)]
    return {"paths": parts[0]} if len(parts) == 1 else {TOGETHER: parts}


def _of_each(project: TargetProject) -> list[tuple[Subnet, ...]]:
    """The paths that ship on each of the targets that one training is for."""
    return [shipping(one) for one in project.together]


def trained_paths(project: TargetProject) -> Shipping:
    """The paths that are trained, and how often each: the mixture over the targets."""
    settings = project.lessons.narrow
    assert settings is not None
    macs = mac_counter(project.untrained)
    return Shipping.mixed(
        [
            Shipping.of(paths, [macs(path) for path in paths], settings.thrift)
            for paths in _of_each(project)
        ]
    )


def _make(project: TargetProject, folder: Path, progress: Progress) -> None:
    settings = project.lessons.narrow
    assert settings is not None
    # A process on another machine may not have them: a training begins with the first one's.
    if (project.done(TRAIN).folder / WEIGHTS).exists():
        trained_supernet(project)
    if len(project.together) == 1:
        teach(project, settings, folder, progress, shipping(project))
        return
    drawn = trained_paths(project)
    teach(project, settings, folder, progress, drawn.paths, drawn.weights)


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
