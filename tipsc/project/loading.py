"""The model and the data of a configuration: made, called, converted, and fitted together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tipsc.batch import Tensors, ask, first, flat
from tipsc.elastic import Supernet, family
from tipsc.elastic.looking import looking
from tipsc.errors import ConfigError, DataError, near
from tipsc.from_onnx import OnnxModel, read_onnx
from tipsc.progress import Progress, silent
from tipsc.project.callables import call
from tipsc.project.config import Config, Convert
from tipsc.project.tasks import task_of
from tipsc.quality import SHARE
from tipsc.train import Data, Unlabelled
from tipsc.train.fit import check_fits

MOST_LOST = 0.5  # of a share: who asks for more means points


@dataclass(frozen=True)
class Model:
    """What a configuration is about.

    Attributes:
        supernet: with its initial weights.
        original: the plain, trained model that it was converted from; None for a supernet.
        data: what it learns from and is judged by.
    """

    supernet: Supernet
    original: nn.Module | None
    data: Data


def load_model(config: Config, folder: Path, progress: Progress = silent) -> Model:
    """The model of a configuration and its data.

    Args:
        progress: is told of the steps of a conversion.

    Raises:
        ConfigError: a callable is missing or returns something else.
        DataError: the data do not fit together.
        LoweringError: a plain model that cannot be converted.
    """
    with config.placing():
        return model_of(config, _make(config, folder), _load(config, folder), progress)


def model_of(
    config: Config, made: nn.Module, data: Data | Unlabelled, progress: Progress = silent
) -> Model:
    """The model of a configuration for a module and data that are there already.

    Raises:
        ConfigError, DataError, LoweringError: as :func:`load_model`.
    """
    if not isinstance(made, Supernet):
        return _converted(made, config.convert or Convert(), data, progress)
    if config.convert is not None:
        raise ConfigError(
            "the model is elastic already: there is nothing to convert",
            where="convert",
            fix="remove the section, or let model.callable return a plain nn.Module",
        )
    if isinstance(data, Unlabelled):
        raise ConfigError(
            "only a plain model that is trained can do without labels",
            where="data.callable",
            expected="a tipsc.train.Data",
            got="a tipsc.train.Unlabelled",
            fix="give labels, or let model.callable return a trained nn.Module",
        )
    return Model(made, None, data)


def make_supernet(config: Config, folder: Path) -> Supernet:
    """The supernet of :func:`load_model`; its data are loaded only where they are needed."""
    with config.placing():
        made = _make(config, folder)
    return made if isinstance(made, Supernet) else load_model(config, folder).supernet


def load_data(config: Config, folder: Path) -> Data:
    """The data of :func:`load_model`; the model is made only where it is needed."""
    with config.placing():
        data = _load(config, folder)
    return data if isinstance(data, Data) else load_model(config, folder).data


def check_fit(config: Config, supernet: Supernet, data: Data) -> None:
    """Refuses data that the supernet does not take, or whose task its outputs do not fit.

    Raises:
        DataError: what was expected and found, and what to correct where.
        ConfigError: a limit is no quality of the task, or a goal allows to lose most of a share.
    """
    check_fits(
        supernet,
        data,
        config.at("data.callable"),
        _fix(config, "input_shape", "what it takes"),
        _fix(config, data.judged_by.sized_by, "the last layer"),
    )
    _check_states(config, supernet)
    _check_goals(config, data)
    if config.build.limits.quality is not None:
        try:
            data.judged_by.quality(config.build.limits.quality)
        except DataError as error:
            raise ConfigError(
                error.what,
                where=config.at("build.limits.quality"),
                expected=error.expected,
                got=error.got,
            ) from error


def _check_goals(config: Config, data: Data) -> None:
    """That a loss is not given in points where the task's unit is a share."""
    if data.judged_by.quality(0.0).unit != SHARE:
        return
    for number, goal in enumerate(config.build.goals):
        if goal.lose_at_most is not None and goal.lose_at_most >= MOST_LOST:
            raise ConfigError(
                f"the {data.judged_by.measure} is a share, from 0 to 1",
                where=config.at(f"build.goals.{number}.lose_at_most"),
                expected=f"less than {MOST_LOST:g}",
                got=f"{goal.lose_at_most:g}",
                fix="0.01 is 1 point",
            )


def _check_states(config: Config, supernet: Supernet) -> None:
    """That each state is an input and an output of one form."""
    if not config.build.states:
        return
    signature = supernet.signature
    inputs = {spec.name: spec for spec in signature.inputs}
    outputs = {spec.name: spec for spec in signature.outputs}
    for taken, given in config.build.states.items():
        where = config.at(f"build.states.{taken}")
        for name, known, what in ((taken, inputs, "input"), (given, outputs, "output")):
            if name not in known:
                raise ConfigError(
                    f"the model has no {what} {name!r}",
                    where=where,
                    expected=f"one of {', '.join(known)}",
                    fix=near(name, known),
                )
        one, other = inputs[taken], outputs[given]
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            raise ConfigError(
                "a state comes out in another form than it goes in",
                where=where,
                expected=f"{one.dtype}{list(one.shape)}, as the input {taken}",
                got=f"{other.dtype}{list(other.shape)}",
                fix="let forward give the state in the form in which it takes it",
            )
    if len(inputs) == len(config.build.states):
        raise ConfigError(
            "nothing but states goes into the model",
            where=config.at("build.states"),
            expected="an input that is no state",
            got=", ".join(inputs),
        )


def _fix(config: Config, argument: str, otherwise: str) -> str:
    """What to correct in the model: the argument, if the configuration gives it."""
    source = config.model
    if source.family is not None or argument in source.arguments:
        return f"model.arguments.{argument}"
    return f"{otherwise}, in {source.callable or source.onnx}"


def _make(config: Config, folder: Path) -> nn.Module:
    """Initial weights depend on the configuration's seed alone."""
    torch.manual_seed(config.seed)
    source = config.model
    if source.family is not None:
        return family(source.family, **source.arguments)
    if source.onnx is not None:
        return read_onnx(folder / source.onnx)
    assert source.callable is not None
    made: nn.Module = call(source.callable, source.arguments, folder, "model", (nn.Module,))
    return made


def _load(config: Config, folder: Path) -> Data | Unlabelled:
    source, kinds = config.data, (Data, Unlabelled)
    loaded: Data | Unlabelled = call(source.callable, source.arguments, folder, "data", kinds)
    return with_task(config, folder, loaded)


def with_task(config: Config, folder: Path, loaded: Data | Unlabelled) -> Data | Unlabelled:
    """The data, judged by the task of the configuration if that names one.

    Raises:
        ConfigError: both name one.
        DataError: neither does, and it cannot be told from the data.
    """
    if config.task is None:
        if isinstance(loaded, Data):
            loaded.judged_by  # noqa: B018
        return loaded
    if loaded.task is not None:
        raise ConfigError(
            "the task is given twice, here and by the data",
            where="task",
            got=f"{loaded.task.name} by the data",
            fix="remove it here, or from what data.callable returns",
        )
    return replace(loaded, task=task_of(config.task, folder))


def _converted(
    original: nn.Module, section: Convert, data: Data | Unlabelled, progress: Progress
) -> Model:
    from tipsc.convert import convert
    from tipsc.convert.camera import Camera

    example = data.example if isinstance(data, Unlabelled) else first(data.train, 1).inputs
    read = original if isinstance(original, OnnxModel) else None
    seen = example
    if section.input is not None:
        settings: dict[str, Any] = {
            "mean": section.input.mean,
            "std": section.input.std,
            "channels_last": section.input.channels == "last",
        }
        original = Camera(original, **settings)
        seen = Camera(nn.Identity(), **settings)(example)
    if read is not None:
        read.check(seen)
    _check_runs(original, example)
    options: dict[str, Any] = {} if section.widths is None else {"widths": section.widths}
    supernet = convert(
        original,
        example,
        depth=section.depth,
        streams=section.streams,
        kernels=section.kernels,
        resolutions=section.resolutions,
        exits=section.exits,
        progress=progress,
        **options,
    )
    labelled = data.answered_by(original) if isinstance(data, Unlabelled) else data
    return Model(supernet, original, labelled)


def _check_runs(original: nn.Module, example: Tensors) -> None:
    """Refuses data that the original does not take: a conversion would say it in other words."""
    try:
        with looking(original):
            ask(original, example)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"the model does not run on an example of the data: {said}",
            where="data.callable",
            expected=f"what {type(original).__name__} takes, with an axis for the examples first",
            got=", ".join(
                f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
                for tensor in flat(example)
            ),
            fix="correct the shape or type of the data, or the model",
        ) from error
