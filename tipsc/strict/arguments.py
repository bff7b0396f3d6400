"""Arguments that a configuration gives to a function of tipsc, checked by its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError, create_model

from tipsc.errors import ConfigError
from tipsc.strict.strict_yaml import Strict, as_tuples, first_problem


def check_arguments(
    make: Callable[..., object], arguments: Mapping[str, Any], place: str, skipped: int = 0
) -> None:
    """Refuses arguments that `make` does not take, as strictly as the rest of a configuration.

    Args:
        make: its signature has types for all of them.
        place: of the arguments in the configuration, for example ``model.arguments``.
        skipped: first parameters that do not come from there.

    Raises:
        ConfigError: one is not known, missing, or of another type.
    """
    parameters = list(inspect.signature(make, eval_str=True).parameters.values())[skipped:]
    fields: Any = {
        parameter.name: (
            parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in parameters
    }
    model: type[Strict] = create_model("Arguments", __base__=Strict, **fields)
    try:
        model.model_validate(as_tuples(dict(arguments)))
    except ValidationError as problem:
        raise first_problem(problem, place, ".", model, ConfigError) from problem
