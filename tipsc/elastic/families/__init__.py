"""Supernets that come with tipsc, by name. A family is added by one file and one line here."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from tipsc.elastic.supernet import Supernet
from tipsc.errors import ConfigError, near

__all__ = ["FAMILIES", "check_name", "family"]

FAMILIES = {
    "mobilenet": "tipsc.elastic.families.mobilenet:MobileNet",
    "mobilenet-v2": "tipsc.elastic.families.mobilenet:mobilenet_v2",
    "transformer": "tipsc.elastic.families.transformer:patch_transformer",
    "transformer-tokens": "tipsc.elastic.families.transformer:token_transformer",
    "temporal": "tipsc.elastic.families.temporal:TemporalNet",
}


def family(name: str, **arguments: Any) -> Supernet:
    """A supernet of the family `name`; `arguments` are those of its class.

    Raises:
        ConfigError: no such family, or arguments that it does not take.
    """
    check_name(name)
    module, _, attribute = FAMILIES[name].partition(":")
    make = getattr(import_module(module), attribute)
    known = inspect.signature(make).parameters
    for argument in arguments:
        if argument not in known:
            raise ConfigError(
                f"the family {name} has no argument {argument!r}",
                where=f"model.arguments.{argument}",
                expected=f"one of {', '.join(known)}",
                fix=near(argument, known),
            )
    missing = [p.name for p in known.values() if p.default is p.empty and p.name not in arguments]
    if missing:
        raise ConfigError(
            f"the family {name} needs the argument {missing[0]!r}",
            where="model.arguments",
            fix="add it",
        )
    try:
        made: Supernet = make(**arguments)
        return made
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the family {name} cannot be made of these arguments: {error}",
            where="model.arguments",
        ) from error


def check_name(name: str) -> None:
    """Refuses what is no family.

    Raises:
        ConfigError: the families are named, the nearest first.
    """
    if name not in FAMILIES:
        raise ConfigError(
            f"no family is called {name!r}",
            where="model.family",
            expected=f"one of {', '.join(FAMILIES)}",
            fix=near(name, FAMILIES),
        )
