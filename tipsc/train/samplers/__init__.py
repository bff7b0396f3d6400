"""The samplers that a configuration can name: one small file each, imported when it is asked for.

A sampler is added by a file with a function ``make(supernet, seed, **options)`` and a line in
:data:`SAMPLERS`. Its options are the keyword arguments of that function.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping

from tipsc.dtmc.samplers import Sampler
from tipsc.elastic import Supernet
from tipsc.errors import ConfigError, near
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
            "train.sampler is not known", got=name, fix=near(name, tuple(sorted(SAMPLERS)))
        )
    make = importlib.import_module(SAMPLERS[name]).make
    known = list(inspect.signature(make).parameters)[2:]
    for option in options or {}:
        if option not in known:
            raise ConfigError(
                f"the sampler {name} has no option {option!r}",
                where="train.sampler_options",
                expected=f"one of {known}" if known else "none",
                fix=near(option, known),
            )
    made: Sampler | Adaptive = make(supernet, seed, **(options or {}))
    return made


__all__ = ["SAMPLERS", "Adaptive", "Learning", "Losses", "Probe", "adaptive", "sampler"]
