"""Stage ``train``: the supernet's trained weights, which all targets have in common.

Needs the model and the data. Its key is over both, how to train, and the code that trains.
"""

from __future__ import annotations

from pathlib import Path

import torch

from tipsc.convert import ConvertedSupernet, fit_exits
from tipsc.elastic import Supernet
from tipsc.fingerprint.installed import TRAINING, TRAINS, code_of, versions
from tipsc.fingerprint.values import fingerprint
from tipsc.pipeline.context import Project, StageSpec
from tipsc.progress import Progress
from tipsc.project.config import Convert
from tipsc.train import anchor, checkpoint, train

WEIGHTS = "weights.pt"


def _inputs(project: Project) -> dict[str, object]:
    inputs = {
        "model": project.made_of,
        "space": project.untrained.space.to_json(),
        "data": project.data.train.fingerprint,
        "task": project.data.task.name,
        "augment": fingerprint(project.data.augment),
        "train": project.training.essence(),
        "original": project.model.original is not None,
        "libraries": versions(TRAINING),
        "code": code_of(TRAINS),
    }
    if isinstance(project.untrained, ConvertedSupernet):  # they anchor its norms and fit its exits
        inputs["calibration_images"] = project.config.build.calibration_images
        inputs["convert"] = (project.config.convert or Convert()).model_dump(mode="json")
    return inputs


def _make(project: Project, folder: Path, progress: Progress) -> None:
    supernet = project.untrained
    if isinstance(supernet, ConvertedSupernet):
        batches = project.data.calibration(project.config.build.calibration_images)
        if project.model.original is not None:
            anchor(supernet, batches)
        if supernet.leaves:
            fit_exits(supernet, batches)
    train(
        supernet,
        project.data,
        project.training,
        folder=folder,
        progress=lambda done, total, fields: progress(
            done, total, f"loss {fields['loss']:.3f}" if "loss" in fields else ""
        ),
        original=project.model.original,
    )
    with (folder / WEIGHTS).open("wb") as stream:  # by name, torch hides why it fails
        torch.save(supernet.state_dict(), stream)
    # What it had beyond the weights is of no more use; only rank 0 has one.
    (folder / checkpoint.FILE).unlink(missing_ok=True)


TRAIN: StageSpec[Project] = StageSpec("train", _inputs, _make, resumable=True)


def trained_supernet(project: Project) -> Supernet:
    """The supernet with its trained weights, in evaluation mode."""
    weights = torch.load(project.done(TRAIN).folder / WEIGHTS, weights_only=True)
    project.untrained.load_state_dict(weights)
    return project.untrained.eval()
