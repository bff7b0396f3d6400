"""Stage ``again``: parts of an engine's weights are trained again, and nothing else changes.

Stands in for all stages from ``train`` to ``ship`` (``tipsc build --like OLD --only head``): the
weights that OLD was made from, its paths and their statistics come from the stages of its build.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath

import torch

from tipsc.elastic import extract
from tipsc.errors import UsageError
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.like import Like
from tipsc.pipeline.train import WEIGHTS, loaded, taught_by
from tipsc.progress import Progress
from tipsc.search.candidates import Candidate, load_candidates, save_candidates
from tipsc.train import TrainConfig, quality_of
from tipsc.train.again import train_again

_WEIGHTS_OF = ("train", "narrow", "again")
_PATHS_OF = ("ship", "again")


def like_of(project: TargetProject) -> Like | None:
    """The engine of which parts are trained again; None where all is trained as always."""
    return project.like if project.like is not None and project.like.only else None


def _inputs(project: TargetProject) -> dict[str, object]:
    like = _required(project)
    return {
        "weights": like.manifest.provenance.get("weights"),
        "shipped": like.manifest.provenance.get("shipped"),
        "paths": [path.id for path in like.paths(project.untrained)],
        "only": list(like.only),
        "train": _settings(project).essence(),
        "validation": project.data.validation.fingerprint,
        **taught_by(project),
    }


def _make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    like = _required(project)
    supernet = loaded(project, _kept(project, "weights", _WEIGHTS_OF))
    candidates = _candidates(project, like)
    with project.on_device():
        train_again(
            supernet,
            {candidate.path: candidate.statistics for candidate in candidates},
            like.trained(supernet),
            project.data,
            _settings(project),
            original=project.model.original,
            progress=progress,
        )
        supernet.eval()
        judged = [
            replace(
                candidate,
                quality=quality_of(
                    extract(supernet, candidate.path, candidate.statistics),
                    project.data.validation,
                    project.data.judged_by,
                ),
            )
            for candidate in candidates
        ]
    with (folder / WEIGHTS).open("wb") as stream:  # by name, torch hides why it fails
        torch.save(supernet.state_dict(), stream)
    save_candidates(folder, judged)


AGAIN: StageSpec[TargetProject] = StageSpec("again", _inputs, _make)


def _required(project: TargetProject) -> Like:
    like = like_of(project)
    assert like is not None
    return like


def _settings(project: TargetProject) -> TrainConfig:
    """As the paths that ship are trained, or the whole space where these are not by themselves."""
    return replace(project.lessons.last, cycle=(0.0, 1.0))


def _candidates(project: TargetProject, like: Like) -> list[Candidate]:
    """The engine's paths as they shipped, in the order in which they are laid out."""
    found = load_candidates(_kept(project, "shipped", _PATHS_OF), project.untrained.space)
    by_id = {candidate.path.id: candidate for candidate in found}
    return [by_id[path.id] for path in like.paths(project.untrained)]


def _kept(project: TargetProject, key: str, stages: tuple[str, ...]) -> FilePath:
    """The folder of a stage that the engine names.

    Raises:
        UsageError: it is not there.
    """
    like = _required(project)
    named = like.manifest.provenance.get(key, "")
    for stage in stages:
        folder = project.stages.kept(stage, named)
        if folder is not None:
            return folder
    raise UsageError(
        f"the {key} that this engine was made from are not here",
        where=str(like.file),
        expected=f"a stage with the key {named or '(the engine names none)'} in {project.runs}",
        fix="build where the engine was built, or without --only",
    )
