"""tipsc.yaml: what to train, on what, and what to build from it."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_type_hints

from pydantic import Field, create_model, model_validator

from tipsc.elastic import Supernet, family
from tipsc.errors import ConfigError, near
from tipsc.strict_yaml import Strict, read_strict
from tipsc.train import Data, Phase, TrainConfig

FILE_NAME = "tipsc.yaml"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]


_HINTS = get_type_hints(TrainConfig)
_TRAIN_FIELDS: Any = {
    field.name: (
        _HINTS[field.name],
        Field(default_factory=field.default_factory)
        if callable(field.default_factory)
        else field.default,
    )
    for field in dataclasses.fields(TrainConfig)
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
TrainSection: Any = create_model("TrainSection", __base__=Strict, **_TRAIN_FIELDS)


class Source(Strict):
    """Where a model comes from: a family of tipsc, or a callable of the user's.

    Attributes:
        family: a name in :data:`tipsc.elastic.FAMILIES`.
        callable: ``file.py:name`` beside the configuration, or ``package.module:name``.
        arguments: keyword arguments.
    """

    family: str | None = None
    callable: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_both(self) -> Source:
        if (self.family is None) == (self.callable is None):
            raise ValueError("give either family or callable")
        return self


class DataSource(Strict):
    """A callable that returns :class:`tipsc.train.Data`; see :class:`Source`."""

    callable: str
    arguments: dict[str, Any] = Field(default_factory=dict)


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Limits(Strict):
    """What every path of the engine keeps; null for no limit.

    Attributes:
        latency_ms: p50 on the device.
        file_bytes: of the whole engine file. A path whose weights alone need more is not looked
            at; the file is checked when it is written.
        memory_bytes: of one path: its weights and all values that its steps write, in float32.
            That is more than a runtime needs that reuses buffers.
        accuracy: the smallest, on validation data, 0..1.
    """

    latency_ms: Positive | None = None
    file_bytes: Positive | None = None
    memory_bytes: Positive | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None


class Build(Strict):
    """What to build.

    Attributes:
        paths: how many paths the engine holds.
        measured: how many paths are measured to predict the latency of all; all paths of a space
            that has no more.
        evaluations: what the search may spend on accuracies, in evaluations of one path in full.
        budgets_ms: latencies that paths are searched for; by default as many as `paths`, evenly
            over the logarithm of the device's range.
        limits: that every path of the engine keeps.
        calibration_images: training examples that each path's statistics come from.
        verify_examples: how many test examples each compiled path runs, to be compared with torch
            and to measure its accuracy.
        tolerance: largest difference from torch, relative to the largest output.
        own_scale_above: a path that loses more validation accuracy than this with the shared
            batch-norm scale gets a scale, and thus weights, of its own; null for never.
        quantised_loss: most accuracy that a path may lose in int8, on the verified examples; it
            takes the place of `tolerance` there.
    """

    paths: Annotated[int, Field(ge=1, le=256)] = 8
    measured: Annotated[int, Field(ge=10, le=2000)] = 50
    evaluations: Annotated[int, Field(ge=1, le=10_000)] = 32
    budgets_ms: Annotated[tuple[Positive, ...], Field(max_length=256)] = ()
    limits: Limits = Limits()
    calibration_images: Annotated[int, Field(ge=1)] = 2000
    verify_examples: Annotated[int, Field(ge=1)] = 2000
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    own_scale_above: Annotated[float, Field(ge=0, lt=1)] | None = 0.01
    quantised_loss: Annotated[float, Field(ge=0, lt=1)] = 0.01

    @model_validator(mode="after")
    def _enough_evaluations(self) -> Build:
        if self.evaluations < self.paths:
            raise ValueError(f"evaluations must be at least paths ({self.paths})")
        return self


class Config(Strict):
    """The whole of tipsc.yaml."""

    name: Name
    model: Source
    data: DataSource
    train: TrainSection = Field(default_factory=TrainSection)
    build: Build = Build()
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def training(self) -> TrainConfig:
        """How to train.

        Raises:
            ConfigError: a setting is out of its range.
        """
        settings = self.train.model_dump()
        settings["phases"] = tuple(Phase(**phase) for phase in settings["phases"])
        return TrainConfig(**settings)


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
    config = read_strict(file, Config, ConfigError, "configuration")
    config.training  # noqa: B018  its ranges are checked now rather than after loading the data
    return config, file.resolve().parent


def make_supernet(config: Config, folder: Path) -> Supernet:
    """The supernet of a configuration, with initial weights that depend on its seed.

    Raises:
        ConfigError: the callable is missing, or does not return a supernet.
    """
    import torch

    torch.manual_seed(config.seed)
    source = config.model
    if source.family is not None:
        return family(source.family, **source.arguments)
    assert source.callable is not None
    return _call(source.callable, source.arguments, folder, "model", Supernet)


def load_data(config: Config, folder: Path) -> Data:
    """The data of a configuration.

    Raises:
        ConfigError: the callable is missing, or does not return Data.
        DataError: what it returns does not fit together.
    """
    return _call(config.data.callable, config.data.arguments, folder, "data", Data)


def _call(reference: str, arguments: dict[str, Any], folder: Path, key: str, kind: type) -> Any:
    function = _find(reference, folder, key)
    try:
        result = function(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{reference} cannot be called with these arguments: {error}",
            where=f"{key}.arguments",
        ) from error
    if not isinstance(result, kind):
        raise ConfigError(
            f"{reference} returns something else",
            where=f"{key}.callable",
            expected=f"a {kind.__module__.partition('.')[0]}.{kind.__name__}",
            got=type(result).__name__,
        )
    return result


def _find(reference: str, folder: Path, key: str) -> Callable[..., Any]:
    where = f"{key}.callable"
    place, separator, name = reference.rpartition(":")
    if not separator or not place or not name:
        raise ConfigError(
            f"{reference!r} names no callable",
            where=where,
            expected="file.py:name or package.module:name",
        )
    module = _import_file(folder / place, where) if place.endswith(".py") else _import(place, where)
    function = getattr(module, name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise ConfigError(f"{place} has no callable {name!r}", where=where, fix=near(name, known))
    return function


def _import(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"cannot import {name}: {error}", where=where) from error


def _import_file(file: Path, where: str) -> ModuleType:
    """Runs a file beside the configuration; its neighbours can be imported by their names."""
    if not file.is_file():
        raise ConfigError("there is no such file", where=where, got=str(file))
    name = f"_tipsc_user_{file.stem}_{abs(hash(str(file))):x}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in it look themselves up
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"{file.name} fails when it is imported: {type(error).__name__}: {error}", where=where
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    return module
