"""Multiply-accumulates of paths, counted fast enough for every step.

Counting a path takes a trace of it, some milliseconds. In some supernets the count is a sum of
effects of the options of a path; then one trace for each option is enough for all paths. In most
others it is a sum of small tables over a few choices, which take more traces to fill.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from tipsc.elastic import CostModel, Supernet
from tipsc.elastic.factors import Part, additive_parts
from tipsc.errors import LoweringError
from tipsc.paths import Path

MACS = "macs"
_CHECKED = 4
Count = Callable[[Path], float]


def mac_counter(supernet: Supernet) -> Count:
    """A function that gives a path's MACs for one example, exactly."""
    trace = _tracer(supernet)
    base, effects = trace(supernet.space.smallest), _effects(supernet, trace)

    def fast(path: Path) -> float:
        return base + sum(effects[item] for item in path.items)

    if _agree(supernet, fast, trace):
        return fast
    try:
        return additive_parts(supernet.space, _by_step(supernet), (MACS,))[MACS].of
    except LoweringError:
        return trace  # slow, but right


def _by_step(supernet: Supernet) -> Callable[[Path], dict[Part, float]]:
    model = CostModel(supernet)
    return lambda path: {
        (MACS, cost.step.label): float(cost.macs) for cost in model.by_step(path) if cost.macs
    }


def _tracer(supernet: Supernet) -> Count:
    model = CostModel(supernet)
    return cache(lambda path: float(model.of(path).macs))


def _effects(supernet: Supernet, trace: Count) -> dict[tuple[str, int], float]:
    """Of each option over its choice's smallest, everything else as small as it can be."""
    space = supernet.space
    return {
        (choice.name, option): trace(space.smallest_with({choice.name: option}))
        - trace(space.smallest_with({choice.name: choice.smallest}))
        for choice in space.choices
        for option in choice.options
    }


def _agree(supernet: Supernet, fast: Count, trace: Count) -> bool:
    generator, space = random.Random(0), supernet.space
    paths = [space.largest, *(space.sample_options(generator) for _ in range(_CHECKED))]
    return all(fast(path) == trace(path) for path in paths)
