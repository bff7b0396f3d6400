"""Stage ``train``: the whole space is trained; its weights are what all targets have in common.

Needs the model and the data. Its key is over both, how to train, and the code that trains. Of a
model that was trained already only the paths that ship are trained (:mod:`tipsc.pipeline.narrow`):
then nothing more is done here than to fit it to the data at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tipsc.convert import ConvertedSupernet, fit_exits
from tipsc.elastic import Supernet
from tipsc.fingerprint.installed import TRAINING, TRAINS, code_of, versions
from tipsc.fingerprint.values import fingerprint
from tipsc.paths import Path as Subnet
from tipsc.pipeline.context import Project, StageSpec
from tipsc.progress import Progress
from tipsc.project.config import Convert
from tipsc.train import TrainConfig, anchor, checkpoint, train

WEIGHTS = "weights.pt"


def taught_by(project: Project) -> dict[str, object]:
    """What any training depends on, but for its settings."""
    return {
        "data": project.data.train.fingerprint,
        "task": project.task_key,
        "augment": fingerprint(project.data.augment),
        "original": project.model.original is not None,
        "libraries": versions(TRAINING),
        "code": code_of(TRAINS),
    }


def teach(
    project: Project,
    settings: TrainConfig,
    folder: Path,
    progress: Progress,
    paths: Sequence[Subnet] = (),
    weights: Sequence[float] = (),
) -> None:
    """Trains the project's supernet and writes :data:`WEIGHTS`.

    Args:
        paths: the only ones that are trained; all if none are given.
        weights: how often each of them is drawn; by ``train.thrift`` if not given.
    """
    supernet = project.untrained
    train(
        supernet,
        project.data,
        settings,
        folder=folder,
        progress=lambda done, total, fields: progress(done, total, _told(fields)),
        original=project.model.original,
        paths=paths,
        weights=weights,
    )
    _save(supernet, folder)
    # What it had beyond the weights is of no more use; only rank 0 has one.
    (folder / checkpoint.FILE).unlink(missing_ok=True)


def _told(fields: Mapping[str, float]) -> str:
    said = [f"loss {fields['loss']:.3f}"] if "loss" in fields else []
    if "parts" in fields:
        said.append(f"memory holds a batch in {fields['parts']} parts only: train.accumulate")
    return ", ".join(said)


def _inputs(project: Project) -> dict[str, object]:
    wide = project.lessons.wide
    inputs = {
        "model": project.made_of,
        "space": project.untrained.space.to_json(),
        "train": None if wide is None else wide.essence(),
        **taught_by(project),
    }
    if isinstance(project.untrained, ConvertedSupernet):  # they anchor its norms and fit its exits
        inputs["calibration_images"] = project.config.build.calibration_images
        inputs["convert"] = (project.config.convert or Convert()).model_dump(mode="json")
    return inputs


def _make(project: Project, folder: Path, progress: Progress) -> None:
    supernet = project.untrained
    if isinstance(supernet, ConvertedSupernet):
        batches = project.data.calibration(project.config.build.calibration_images)
        with project.on_device():
            if project.model.original is not None:
                anchor(supernet, batches)
            if supernet.leaves:
                fit_exits(supernet, batches)
    if project.lessons.wide is None:
        _save(supernet, folder)
    else:
        teach(project, project.lessons.wide, folder, progress)


def _save(supernet: Supernet, folder: Path) -> None:
    with (folder / WEIGHTS).open("wb") as stream:  # by name, torch hides why it fails
        torch.save(supernet.state_dict(), stream)


TRAIN: StageSpec[Project] = StageSpec("train", _inputs, _make, resumable=True)


def trained_supernet(project: Project) -> Supernet:
    """The supernet with the weights of this stage, in evaluation mode."""
    return loaded(project, project.done(TRAIN).folder)


def loaded(project: Project, folder: Path) -> Supernet:
    """The supernet with the weights in a folder, in evaluation mode."""
    weights = torch.load(folder / WEIGHTS, weights_only=True, map_location="cpu")
    project.untrained.load_state_dict(weights)
    return project.untrained.eval()
