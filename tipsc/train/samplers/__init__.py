"""The samplers that a configuration can name: one small file each, imported when it is asked for.

A sampler is added by a file with a function ``make(supernet, seed, **options)`` and a line in
:data:`SAMPLERS`. Its options are the keyword arguments of that function.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping

from tipsc.dtmc.samplers import Sampler
from tipsc.elastic import Supernet
from tipsc.errors import ConfigError, near
from tipsc.strict.arguments import check_arguments
from tipsc.train.samplers.interface import Adaptive, Losses, Probe, adaptive
from tipsc.train.samplers.learning import Learning

SAMPLERS: Mapping[str, str] = {
    "attentive": "tipsc.train.samplers.attentive",
    "budget-uniform": "tipsc.train.samplers.budget_uniform",
    "degree": "tipsc.train.samplers.degree",
    "folded": "tipsc.train.samplers.folded",
    "joslim": "tipsc.train.samplers.joslim",
    "sandwich": "tipsc.train.samplers.sandwich",
    "tips": "tipsc.train.samplers.tips",
    "uniform": "tipsc.train.samplers.uniform",
}
"""Name to module."""


def sampler(
    name: str, supernet: Supernet, seed: int = 0, options: Mapping[str, object] | None = None
) -> Sampler | Adaptive:
    """The sampler `name` of :data:`SAMPLERS` for this supernet.

    Raises:
        ConfigError: it is not known, or has no such option.
    """
    if name not in SAMPLERS:
        raise ConfigError(
            f"{name!r} is not known",
            where="train.sampler",
            expected=f"one of {', '.join(SAMPLERS)}",
            fix=near(name, SAMPLERS),
        )
    check_options(name, options or {})
    try:
        made: Sampler | Adaptive = _make(name)(supernet, seed, **(options or {}))
    except ConfigError as error:
        if error.where is None:
            error.where = "train.sampler_options"
            error.args = (str(error),)
        raise
    return made


def check_options(name: str, options: Mapping[str, object], where: str = "train") -> None:
    """Refuses an option that the sampler `name` does not have.

    Args:
        where: the section of the configuration that names the sampler.

    Raises:
        ConfigError: its options are named.
    """
    make = _make(name)
    known = list(inspect.signature(make).parameters)[2:]
    for option in options:
        if option not in known:
            raise ConfigError(
                f"the sampler {name} has no option {option!r}",
                where=f"{where}.sampler_options.{option}",
                expected=f"one of {', '.join(known)}" if known else "none",
                fix=near(option, known),
            )
    check_arguments(make, options, f"{where}.sampler_options", skipped=2)


def _make(name: str) -> Callable[..., Sampler | Adaptive]:
    make: Callable[..., Sampler | Adaptive] = importlib.import_module(SAMPLERS[name]).make
    return make


__all__ = [
    "SAMPLERS",
    "Adaptive",
    "Learning",
    "Losses",
    "Probe",
    "adaptive",
    "check_options",
    "sampler",
]
