"""The samplers that a configuration can name."""

from __future__ import annotations

import random
from collections.abc import Callable

from tipsc.dtmc.samplers import Sampler, Sandwich, Uniform
from tipsc.elastic import CostModel, Supernet
from tipsc.train.chance import seed_of


def sampler(name: str, supernet: Supernet, seed: int = 0) -> Sampler:
    """The sampler `name` of :data:`SAMPLERS` for this supernet."""
    return SAMPLERS[name](supernet, seed)


def _sandwich(supernet: Supernet, seed: int) -> Sampler:
    return Sandwich(supernet.space)


def _uniform(supernet: Supernet, seed: int) -> Sampler:
    return Uniform(supernet.space)


def _tips(supernet: Supernet, seed: int) -> Sampler:
    """The sandwich's ends, and between them paths by their topological score."""
    from tipsc.dtmc.tips import tips_sampler

    model = CostModel(supernet)
    generator = random.Random(seed_of("tips", seed))
    middle = tips_sampler(supernet.space, lambda path: model.trace(path).steps, generator)
    return Sandwich(supernet.space, middle)


SAMPLERS: dict[str, Callable[[Supernet, int], Sampler]] = {
    "sandwich": _sandwich,
    "tips": _tips,
    "uniform": _uniform,
}
