"""The model and the data of a configuration: made, called, converted, and fitted together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tipsc.elastic import Supernet, family
from tipsc.elastic.looking import looking
from tipsc.errors import ConfigError, DataError
from tipsc.project.callables import call
from tipsc.project.config import Config, Convert
from tipsc.train import Data, Unlabelled


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


def load_model(config: Config, folder: Path) -> Model:
    """The model of a configuration and its data.

    Raises:
        ConfigError: a callable is missing or returns something else.
        DataError: the data do not fit together.
        LoweringError: a plain model that cannot be converted.
    """
    with config.placing():
        return _load_model(config, folder)


def _load_model(config: Config, folder: Path) -> Model:
    made, data = _make(config, folder), _load(config, folder)
    if not isinstance(made, Supernet):
        return _converted(made, config.convert or Convert(), data)
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
        ConfigError: a limit is no quality of the task.
    """
    expected, got = supernet.input_shape, tuple(data.train.inputs.shape[1:])
    dtype = data.train.inputs.dtype
    if got != expected or dtype != supernet.input_dtype:
        hint = _shape_hint(expected, got)
        raise DataError(
            "the data do not fit the model's input",
            where=config.at("data.callable"),
            expected=f"examples of shape {expected}, {_name(supernet.input_dtype)}",
            got=f"{got}, {_name(dtype)}",
            fix=hint or f"correct the data or {_fix(config, 'input_shape', 'what it takes')}",
        )
    if config.build.limits.quality is not None:
        try:
            data.task.quality(config.build.limits.quality)
        except DataError as error:
            raise ConfigError(
                error.what,
                where=config.at("build.limits.quality"),
                expected=error.expected,
                got=error.got,
            ) from error
    with looking(supernet):
        outputs = supernet(*supernet.examples(), supernet.space.smallest)
    data.task.check_outputs(
        outputs, config.at("data.callable"), _fix(config, data.task.sized_by, "the last layer")
    )


def _fix(config: Config, argument: str, otherwise: str) -> str:
    """What to correct in the model: the argument, if the configuration gives it."""
    source = config.model
    if source.family is not None or argument in source.arguments:
        return f"model.arguments.{argument}"
    return f"{otherwise}, in {source.callable}"


def _shape_hint(expected: tuple[int, ...], got: tuple[int, ...]) -> str | None:
    """How to turn the examples into what is expected, where that is plain."""
    if expected == (1, *got):
        return "give the examples an axis of channels: inputs[:, None]"
    if len(got) > 1 and expected == (got[-1], *got[:-1]):
        return "put the channels first: inputs.movedim(-1, 1)"
    return None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _make(config: Config, folder: Path) -> nn.Module:
    """Initial weights depend on the configuration's seed alone."""
    torch.manual_seed(config.seed)
    source = config.model
    if source.family is not None:
        return family(source.family, **source.arguments)
    assert source.callable is not None
    made: nn.Module = call(source.callable, source.arguments, folder, "model", (nn.Module,))
    return made


def _load(config: Config, folder: Path) -> Data | Unlabelled:
    source, kinds = config.data, (Data, Unlabelled)
    loaded: Data | Unlabelled = call(source.callable, source.arguments, folder, "data", kinds)
    return loaded


def _converted(original: nn.Module, section: Convert, data: Data | Unlabelled) -> Model:
    from tipsc.convert import convert

    inputs = data.train if isinstance(data, Unlabelled) else data.train.inputs
    _check_runs(original, inputs[:1])
    options: dict[str, Any] = {} if section.widths is None else {"widths": section.widths}
    supernet = convert(
        original,
        inputs[:1],
        depth=section.depth,
        resolutions=section.resolutions,
        exits=section.exits,
        **options,
    )
    labelled = data.answered_by(original) if isinstance(data, Unlabelled) else data
    return Model(supernet, original, labelled)


def _check_runs(original: nn.Module, example: Tensor) -> None:
    """Refuses data that the original does not take: a conversion would say it in other words."""
    try:
        with looking(original):
            original(example)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"the model does not run on an example of the data: {said}",
            where="data.callable",
            expected=f"what {type(original).__name__} takes, with an axis for the examples first",
            got=f"{_name(example.dtype)} of shape {tuple(example.shape)}",
            fix="correct the shape or type of the data, or the model",
        ) from error
