"""Multiply-accumulates of paths, counted fast enough for every step.

Counting a path takes a trace of it, some milliseconds. In most supernets the count is a sum of
effects of the options of a path; then one trace for each option is enough for all paths.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from tipsc.elastic import CostModel, Supernet
from tipsc.errors import DataError
from tipsc.factors import Additive, unary
from tipsc.paths import Path

_CHECKED = 4
Count = Callable[[Path], float]


def mac_counter(supernet: Supernet) -> Count:
    """A function that gives a path's MACs for one example, exactly."""
    trace = _tracer(supernet)
    base, effects = trace(supernet.space.smallest), _effects(supernet, trace)

    def fast(path: Path) -> float:
        return base + sum(effects[item] for item in path.items)

    return fast if _agree(supernet, fast, trace) else trace


def mac_sum(supernet: Supernet) -> Additive:
    """MACs for one example as a sum over the options of a path, as the cost-folded chain needs it.

    Raises:
        DataError: in this supernet they are no such sum.
    """
    trace, space = _tracer(supernet), supernet.space
    effects = _effects(supernet, trace)
    tables = {c.name: [effects[c.name, option] for option in c.options] for c in space.choices}
    result = unary(space, tables) + trace(space.smallest)
    if not _agree(supernet, result.of, trace):
        raise DataError(
            "the MACs of this supernet are no sum over its choices",
            where=type(supernet).__name__,
            fix="give costs as a tipsc.factors.Additive whose factors couple choices",
        )
    return result


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
