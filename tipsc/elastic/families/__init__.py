"""Supernets that come with tipsc, by name. A family is added by one file and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tipsc.elastic.ratios import settle_ratios
from tipsc.elastic.supernet import Supernet
from tipsc.errors import ConfigError, PathError, near
from tipsc.strict.arguments import check_arguments

__all__ = ["FAMILIES", "check_name", "family"]

PLACE = "model.arguments"  # of a configuration
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
    check_arguments(make, arguments, PLACE)
    try:
        made: Supernet = make(**arguments)
        settle_ratios(made)
        return made
    except PathError as error:  # of the choices that the arguments make
        raise ConfigError(error.what, where=PLACE, got=error.got, fix=error.fix) from error


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
