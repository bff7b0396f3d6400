"""Supernets that come with tipsc, by name. A family is added by one file and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tipsc.elastic.supernet import Supernet
from tipsc.errors import ConfigError, near

__all__ = ["FAMILIES", "family"]

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
    if name not in FAMILIES:
        raise ConfigError(f"no family is called {name!r}", fix=near(name, FAMILIES))
    module, _, attribute = FAMILIES[name].partition(":")
    try:
        return getattr(import_module(module), attribute)(**arguments)
    except TypeError as error:
        raise ConfigError(f"family {name} does not take these arguments: {error}") from error
