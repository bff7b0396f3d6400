"""From a configuration to a trained supernet: what all targets have in common.

The original of a converted model is scored beside it: the figure that its paths are held against.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

import torch

from tipsc.elastic import ConvertedSupernet, Supernet, additive_totals, fit_exits
from tipsc.factors import Additive
from tipsc.fingerprint.installed import TRAINING, TRAINS, code_of, versions
from tipsc.fingerprint.values import fingerprint
from tipsc.pipeline.original import Original, load_original, save_original, score_original
from tipsc.pipeline.stages import Stage, Stages
from tipsc.progress import Reporter, Silent
from tipsc.project.config import Config, Convert, load_config
from tipsc.project.lessons import teacher_of
from tipsc.project.loading import Model, check_fit, load_model
from tipsc.train import Data, TrainConfig, anchor, checkpoint, train

WEIGHTS = "weights.pt"


class Training:
    """The stages that need no target. Each method does what is missing before it.

    Args:
        config_file: tipsc.yaml, or a folder that has one.
        reporter: is told how far it is.

    Raises:
        ConfigError: the configuration is not valid.
    """

    def __init__(self, config_file: str | FilePath, *, reporter: Reporter | None = None) -> None:
        self.config: Config
        self.config_file = FilePath(config_file)
        self.config, self.folder = load_config(config_file)
        self.reporter = reporter or Silent()
        self.runs = self.folder / "runs" / self.config.name
        self.stages = Stages(self.runs)
        self._done: dict[str, Stage] = {}

    @cached_property
    def model(self) -> Model:
        """The supernet as it was made, the data, and the original of a converted model."""
        return load_model(self.config, self.folder)

    @property
    def data(self) -> Data:
        """The user's data."""
        return self.model.data

    @cached_property
    def untrained(self) -> Supernet:
        """The supernet with its initial weights, and data that it can take."""
        check_fit(self.config, self.model.supernet, self.data)
        return self.model.supernet

    @cached_property
    def training(self) -> TrainConfig:
        """How to train.

        The largest path of a model that was trained already has most to lose: it runs in every
        step, unless the configuration says something else.
        """
        settings, given = self.config.training, self.config.train.model_fields_set
        teacher = teacher_of(settings, given, self.model)
        if teacher is None:
            return settings
        with_largest = settings.with_largest if "with_largest" in given else True
        return replace(settings, with_largest=with_largest, teacher_share=teacher)

    def trained(self) -> Stage:
        """The stage with the supernet's trained weights."""
        if "train" in self._done:
            return self._done["train"]
        inputs = {
            "model": self._made_of,
            "space": self.untrained.space.to_json(),
            "data": self.data.train.fingerprint,
            "augment": fingerprint(self.data.augment),
            "train": self.training.essence(),
            "original": self.model.original is not None,
            "libraries": versions(TRAINING),
            "code": code_of(TRAINS),
        }
        if isinstance(self.untrained, ConvertedSupernet):  # they anchor its norms and fit its exits
            inputs["calibration_images"] = self.config.build.calibration_images
            inputs["convert"] = (self.config.convert or Convert()).model_dump(mode="json")

        def work(folder: FilePath) -> None:
            progress = self._progress
            if isinstance(self.untrained, ConvertedSupernet):
                batches = self.data.calibration(self.config.build.calibration_images)
                if self.model.original is not None:
                    anchor(self.untrained, batches)
                if self.untrained.leaves:
                    fit_exits(self.untrained, batches)
            train(
                self.untrained,
                self.data,
                self.training,
                folder=folder,
                progress=lambda done, total, fields: progress(
                    done, total, f"loss {fields['loss']:.3f}" if "loss" in fields else ""
                ),
                original=self.model.original,
            )
            with (folder / WEIGHTS).open("wb") as stream:  # by name, torch hides why it fails
                torch.save(self.untrained.state_dict(), stream)
            # What it had beyond the weights is of no more use; only rank 0 has one.
            (folder / checkpoint.FILE).unlink(missing_ok=True)

        return self._stage("train", inputs, work, resumable=True)

    @cached_property
    def _made_of(self) -> str:
        """A digest of the model as it came: a converted one by what it computes, not by its code.

        Taken before anything is trained, whatever the weights are by now.
        """
        supernet = self.untrained
        return (
            supernet.made_of if isinstance(supernet, ConvertedSupernet) else fingerprint(supernet)
        )

    @cached_property
    def supernet(self) -> Supernet:
        """The trained supernet."""
        stage = self.trained()
        weights = torch.load(stage.folder / WEIGHTS, weights_only=True)
        self.untrained.load_state_dict(weights)
        return self.untrained.eval()

    @cached_property
    def totals(self) -> dict[str, Additive]:
        """MACs, parameters and other totals of any path; see :func:`additive_totals`."""
        return additive_totals(self.untrained)

    def original(self) -> Original | None:
        """What the original of a converted model scores on the examples that its paths run on.

        None for a supernet, and without labels: the original agrees with itself.
        """
        model, build = self.model, self.config.build
        if model.original is None or model.data.metric != "accuracy":
            return None
        plain = model.original
        inputs = {
            "model": self._made_of,
            "data": model.data.test.fingerprint,
            "verify_examples": build.verify_examples,
            "libraries": versions(TRAINING),
        }

        def work(folder: FilePath) -> None:
            found = score_original(plain, self.data.test, build.verify_examples)
            save_original(found, folder)

        return load_original(self._stage("original", inputs, work).folder)

    def _stage(self, name: str, inputs: dict[str, Any], work: Any, **options: Any) -> Stage:
        if name not in self._done:
            self._progress = self.reporter.begin(name)
            with self.config.placing():
                stage = self.stages.run(name, inputs, work, **options)
            self.reporter.end(name, stage.seconds, cached=stage.cached)
            self._done[name] = stage
        return self._done[name]
