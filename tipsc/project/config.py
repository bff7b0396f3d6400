"""tipsc.yaml: what to train, on what, and what to build from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from tipsc.elastic.families import check_name
from tipsc.engine.manifest import MAX_BATCH
from tipsc.errors import BudgetError, ConfigError, DataError, UsageError
from tipsc.strict.strict_yaml import Strict, read_strict
from tipsc.train import Phase, TrainConfig
from tipsc.train.samplers import check_options

FILE_NAME = "tipsc.yaml"
_SANDWICH = 2  # paths that its rule has at least
Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        max_length=64,
        description="letters, digits, - and _, no space; a letter or digit first",
    ),
]


_HINTS = get_type_hints(TrainConfig)
_TRAIN_FIELDS: Any = {
    field.name: (
        _HINTS[field.name],
        Field(default_factory=field.default_factory)
        if callable(field.default_factory)
        else field.default,
    )
    for field in dataclasses.fields(TrainConfig)
    if field.name != "cycle"  # follows from narrow
}
_PHASE_HINTS = get_type_hints(Phase)
_PHASE_FIELDS: Any = {
    field.name: (
        _PHASE_HINTS[field.name],
        ... if field.default is dataclasses.MISSING else field.default,
    )
    for field in dataclasses.fields(Phase)
}
PhaseSection: Any = create_model("PhaseSection", __base__=Strict, **_PHASE_FIELDS)
_TRAIN_FIELDS["phases"] = (tuple[PhaseSection, ...], ())
# The settings of TrainConfig, read as strictly as everything else.
_TRAIN_FIELDS["narrow"] = (
    Annotated[float, Field(ge=0, le=1)] | None,
    Field(
        None,
        description="share of the epochs, the last ones, in which only the paths that ship are "
        "trained; they are chosen before (`thrift`: how often each). Null: 1 of a model that was "
        "trained already, 0.5 of another; 0 where targets shall be added without training again",
    ),
)
TrainSection: Any = create_model("TrainSection", __base__=Strict, **_TRAIN_FIELDS)


class ModelSource(Strict):
    """Where a model comes from: a family of tipsc, a callable of the user's, or an ONNX file.

    Attributes:
        family: a supernet of tipsc; this, callable or onnx.
        callable: ``file.py:name`` beside the configuration, or ``package.module:name``. It returns
            a :class:`tipsc.elastic.Supernet`, or a plain, trained ``nn.Module``, which is converted
            and teaches its paths.
        onnx: a trained model as an ONNX file beside the configuration, in float32. It is read as
            torch, compared with ONNX Runtime, converted, and teaches its paths.
        arguments: keyword arguments of the family or the callable.
    """

    family: str | None = None
    callable: str | None = None
    onnx: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_them(self) -> ModelSource:
        if sum(source is not None for source in (self.family, self.callable, self.onnx)) != 1:
            raise ValueError("give one of family, callable and onnx")
        if self.onnx is not None and self.arguments:
            raise ValueError("a file takes no arguments: remove them")
        return self


Share = Annotated[float, Field(gt=0, le=1)]
Pixels = Annotated[int, Field(gt=0)]
Number = Annotated[int, Field(gt=0)]
BatchSize = Annotated[int, Field(ge=1, le=MAX_BATCH)]


class CameraInput(Strict):
    """Pixels as a camera gives them, which the engine normalises itself.

    Attributes:
        dtype: of the pixels.
        mean: of each channel, or one for all; the model takes (pixels / 255 - mean) / std.
        std: likewise, the deviations.
        channels: first is (C, H, W), last (H, W, C).
    """

    dtype: Literal["uint8"] = "uint8"
    mean: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0,)
    std: Annotated[tuple[float, ...], Field(min_length=1)] = (1.0,)
    channels: Literal["first", "last"] = "first"


class Convert(Strict):
    """How a plain model becomes elastic; see :func:`tipsc.convert.convert`.

    Attributes:
        widths: of elastic channel groups, as shares of their full width; 1 is always among them.
            Null for 0.25, 0.5, 0.75 and 1.
        depth: whether residual branches may be skipped.
        streams: whether residual streams have a choice of their width, which all that is added to
            one follows.
        kernels: whether depthwise convolutions have a choice of their kernel's size.
        resolutions: of square images, in pixels a side, for a fully convolutional model; its own
            is always among them. Null for its own alone.
        exits: whether paths can leave early, of a model with one output: true for after every
            stage where that is possible, how many, or the numbers of the stages.
        input: of a model of images, where the engine and the data have pixels; null for what the
            model takes.
    """

    widths: Annotated[tuple[Share, ...], Field(min_length=1, max_length=8)] | None = None
    depth: bool = True
    streams: bool = False
    kernels: bool = False
    resolutions: Annotated[tuple[Pixels, ...], Field(min_length=1, max_length=8)] | None = None
    exits: bool | Number | Annotated[tuple[Number, ...], Field(min_length=1)] = False
    input: CameraInput | None = None


class DataSource(Strict):
    """Where the data come from.

    Attributes:
        callable: ``file.py:name`` beside the configuration, or ``package.module:name``. It returns
            a :class:`tipsc.train.Data`, or for a plain model a :class:`tipsc.train.Unlabelled`,
            whose targets are the model's own answers.
        arguments: keyword arguments.
    """

    callable: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class TaskSource(Strict):
    """What the model is trained for and judged by; ``task: NAME`` stands for ``{name: NAME}``.

    Attributes:
        name: of a task of tipsc; either this or callable.
        callable: ``file.py:name`` beside the configuration, or ``package.module:name``. It returns
            a task: an object with ``loss(outputs, targets)`` and ``metric()``.
        arguments: keyword arguments of the task or the callable.
    """

    name: str | None = None
    callable: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _of_a_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_of_both(self) -> TaskSource:
        if (self.name is None) == (self.callable is None):
            raise ValueError("give either name or callable")
        return self


PathName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=24)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class BuildLimits(Strict):
    """What every path of the engine keeps; null for no limit.

    Attributes:
        latency_ms: p50 of a path on the device.
        file_bytes: of the whole engine file. A path whose weights alone need more, in the target's
            precision, is not looked at; the file is checked when it is written.
        memory_bytes: of one path: its weights and all values that its steps write, in the target's
            precision. That is more than a runtime needs that reuses buffers.
        quality: the worst that a path may have on validation data, in the unit of the task; a
            share, 0 to 1, of a classifier.
    """

    latency_ms: Positive | None = None
    file_bytes: Positive | None = None
    memory_bytes: Positive | None = None
    quality: Annotated[float, Field(allow_inf_nan=False)] | None = None


#: what a number of a goal says, for those who write it as a percentage
_GOAL_HINTS = {
    "lose_at_most": "of a share, 0.01 is 1 point",
    "latency_share": "0.5 is half of the time",
}


class BuildGoal(Strict):
    """What one path of the engine is wanted for; it has to meet all that is given here.

    The path that meets it is the fastest one if `lose_at_most` is given, else the best one. The
    reference is the original; of a supernet, which has none, its largest path, which then ships.

    Attributes:
        lose_at_most: quality that the path may lose against the reference, in the unit of the task
            (0.01 is 1 point of a share).
        latency_share: most of the reference's p50 that the path may take: 0.5 is half of it.
        latency_ms: most that its p50 on the device may be.
        file_bytes: most bytes of its weights alone, in the target's precision.
    """

    lose_at_most: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    latency_share: Annotated[float, Field(gt=0, le=1)] | None = None
    latency_ms: Positive | None = None
    file_bytes: Positive | None = None

    @field_validator(*_GOAL_HINTS, mode="before")
    @classmethod
    def _is_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        if isinstance(given, str):
            hint = _GOAL_HINTS[str(info.field_name)]
            raise ValueError(f"write a number without quotes or %: {hint}")
        return given

    @model_validator(mode="after")
    def _asks_for_something(self) -> BuildGoal:
        if all(value is None for value in self.model_dump().values()):
            raise ValueError(f"give one of {', '.join(type(self).model_fields)}")
        return self


class Build(Strict):
    """What to build.

    Attributes:
        paths: how many paths the engine holds.
        measured: how many paths are measured to predict the latency of all; all paths of a space
            that has no more. Fewer if the target's ``measure.paths`` is lower.
        evaluations: what the search may spend on qualities, in evaluations of one path in full.
        budgets_ms: latencies that paths are searched for; by default as many as `paths`, evenly
            over the logarithm of the device's range.
        goals: what paths are wanted for, each by one of the engine's paths; the build says of each
            whether it is met, and what would help where it is not.
        ship: the paths of the engine, in place of a search: ids, options by the names of their
            choices, `largest` and `smallest`. None of them is left out.
        names: of its paths, from fast to slow, beside their ids; letters, digits, `.`, `-` and `_`.
            By default the share of the original's time that a path takes, as `0.5x`; of a
            supernet of the slowest path's.
        limits: what every path of the engine keeps.
        calibration_images: training examples that each path's statistics come from.
        verify_examples: how many test examples each compiled path runs, to be compared with torch
            and to measure its quality.
        tolerance: largest difference from torch, relative to the largest output.
        share_loss: most validation quality that a path may lose by sharing its weights, in the
            unit of the task (0.003 is 0.3 points of a share), against itself with all weights its
            own. One that loses more gets what it lacks for itself, the cheapest first: biases, norm
            scales, the head, layers, in the end all. null: nobody looks; looking takes as long as
            the training of the paths that ship, and longer for each path that loses.
        quantised_loss: most quality that a path may lose in int8 or fp16, on the verified
            examples; it takes the place of `tolerance` there.
        states: of a model that streams: name of an input to that of the output which is its value
            in the next call. The engine keeps them, see ``Engine.stream``.
        batch: examples of a call; of several the engine has each path for each of them. The first
            is what paths are profiled and chosen for, and what budgets and limits are of.
    """

    paths: Annotated[int, Field(ge=1, le=256)] = 8
    measured: Annotated[int, Field(ge=10, le=2000)] = 50
    evaluations: Annotated[int, Field(ge=1, le=10_000)] = 32
    budgets_ms: Annotated[tuple[Positive, ...], Field(max_length=256)] = ()
    goals: Annotated[tuple[BuildGoal, ...], Field(max_length=16)] = ()
    ship: Annotated[tuple[str | dict[str, int], ...], Field(max_length=256)] = ()
    names: Annotated[tuple[PathName, ...], Field(max_length=256)] = ()
    limits: BuildLimits = BuildLimits()
    calibration_images: Annotated[int, Field(ge=1)] = 2000
    verify_examples: Annotated[int, Field(ge=1)] = 2000
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    share_loss: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    quantised_loss: Annotated[float, Field(ge=0, lt=1)] = 0.01
    states: dict[str, str] = Field(default_factory=dict)
    batch: BatchSize | Annotated[tuple[BatchSize, ...], Field(min_length=1, max_length=8)] = 1

    @property
    def batches(self) -> tuple[int, ...]:
        """The sizes of a batch, in order."""
        return self.batch if isinstance(self.batch, tuple) else (self.batch,)

    @field_validator("goals", mode="before")
    @classmethod
    def _list_of_goals(cls, given: Any) -> Any:
        if isinstance(given, dict):
            raise ValueError("this is a list of goals: put `- ` before each of them")
        return tuple(given) if isinstance(given, list) else given  # JSON has no tuples

    @model_validator(mode="after")
    def _distinct_batches(self) -> Build:
        if len(set(self.batches)) != len(self.batches):
            raise ValueError(f"batch names a size twice: {list(self.batches)}")
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> Build:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"names has one twice: {list(self.names)}")
        return self

    @model_validator(mode="after")
    def _a_path_for_each_goal(self) -> Build:
        if len(self.goals) > self.paths:
            raise ValueError(
                f"each goal becomes a path: paths must be at least {len(self.goals)}, and is "
                f"{self.paths}"
            )
        return self

    @model_validator(mode="after")
    def _enough_evaluations(self) -> Build:
        if self.evaluations < self.paths:
            raise ValueError(
                f"evaluations must be at least paths ({self.paths}), and is {self.evaluations}"
            )
        return self


class Config(Strict):
    """The whole of tipsc.yaml.

    Attributes:
        name: of the engine, whose file is ``<name>-<target>.tipsc``: letters, digits, ``-``, ``_``.
        model: where the model comes from.
        convert: how a plain model becomes elastic; null for the defaults.
        data: where the data come from.
        task: what the model is trained for and judged by; null where the data say it.
        train: how the supernet is trained, or a converted model fine-tuned.
        build: what is built.
        seed: of initial weights, measuring and search; the training has its own, ``train.seed``.
    """

    name: Name
    model: ModelSource
    convert: Convert | None = None
    data: DataSource
    task: TaskSource | None = None
    train: TrainSection = Field(default_factory=TrainSection)
    build: Build = Build()
    seed: Annotated[int, Field(ge=0)] = 0
    _file: Path | None = PrivateAttr(None)

    def at(self, key: str) -> str:
        """The place of a key, for errors: with the file, if it was read from one."""
        return key if self._file is None else f"{self._file}, key {key}"

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Errors that arise inside and name a key of the configuration name its file as well."""
        try:
            yield
        except UsageError as error:
            if _is_about_key(error):
                error.where = self.at(str(error.where))
                error.args = (str(error),)
            raise

    @property
    def training(self) -> TrainConfig:
        """How to train.

        Raises:
            ConfigError: a setting is out of its range.
        """
        settings = self.train.model_dump(exclude={"narrow"})
        if "frozen_epochs" not in self.train.model_fields_set:
            settings["frozen_epochs"] = min(settings["frozen_epochs"], self.train.epochs)
        settings["phases"] = tuple(Phase(**phase) for phase in settings["phases"])
        training = TrainConfig(**settings)
        check_options(training.sampler, training.sampler_options)
        for place, (_, recipe) in enumerate(training.recipes(1)):
            section = f"train.phases.{place}" if training.phases else "train"
            check_options(recipe.sampler, recipe.sampler_options, section)
            if recipe.sampler == "sandwich" and recipe.paths_per_step < _SANDWICH:
                raise ConfigError(
                    "the sandwich rule trains the largest and the smallest path in each step",
                    where=f"{section}.paths_per_step",
                    expected=f"at least {_SANDWICH}",
                    got=recipe.paths_per_step,
                    fix="set paths_per_step: 4 and distill: true, as published",
                )
        return training


def load_config(file_or_folder: str | Path) -> tuple[Config, Path]:
    """Reads a configuration.

    Args:
        file_or_folder: the file, or a folder with a ``tipsc.yaml``.

    Returns:
        It, and the folder that its callables are relative to.

    Raises:
        ConfigError: names the file and the key.
    """
    file = Path(file_or_folder)
    if file.is_dir():
        file = file / FILE_NAME
    hint = f"run `tipsc init {file.parent}` to write one, or name the file or folder that has one"
    config = read_strict(file, Config, ConfigError, "configuration", hint)
    config._file = file
    with config.placing():  # ranges are checked now rather than after loading the data
        config.training  # noqa: B018
        if config.model.family is not None:
            check_name(config.model.family)
    return config, file.resolve().parent


def _is_about_key(error: UsageError) -> bool:
    """Whether the place of an error is a key of :class:`Config`.

    A split of the data is called ``train`` as well, so data errors have to name more than a
    section.
    """
    section, dot, _ = (error.where or "").partition(".")
    return section in Config.model_fields and (
        isinstance(error, ConfigError | BudgetError) or (isinstance(error, DataError) and dot != "")
    )
