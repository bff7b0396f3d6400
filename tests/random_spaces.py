"""Random search spaces and functions on them, small enough to enumerate."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from tipsc.factors import Additive, Factor
from tipsc.paths import Choice, SearchSpace


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """A resolution, stages with elastic depth, blocks, nested gates, an exit: small."""
    choices = []
    if draw(st.booleans()):
        choices.append(Choice("resolution", (16, 24, 32)[: draw(st.integers(1, 3))]))
    if draw(st.booleans()):
        choices.append(Choice("exit", (0, 1)))
    for number in range(draw(st.integers(1, 4))):
        options = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
        gate = draw(st.sampled_from([None, *choices]))
        gate_from = draw(st.integers(gate.smallest, gate.largest)) if gate else 0
        name = gate.name if gate else None
        choices.append(Choice(f"c{number}", tuple(sorted(options)), name, gate_from))
    return SearchSpace(tuple(choices))


@st.composite
def additives(draw: st.DrawFn, space: SearchSpace, *, coupled: bool = True) -> Additive:
    """A constant, an effect for every option, and couplings of two or three choices."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    names = [choice.name for choice in space.choices]
    scopes = [(name,) for name in names]
    if coupled:
        pairs = [*itertools.combinations(names, 2), *itertools.combinations(names, 3)]
        scopes += draw(st.lists(st.sampled_from(pairs), max_size=3)) if pairs else []
    factors = []
    for scope in scopes:
        shape = tuple(len(space[name].options) for name in scope)
        factors.append(Factor(scope, generator.normal(0, 1, shape)))
    return Additive(space, float(generator.normal()), tuple(factors))


@st.composite
def problems(draw: st.DrawFn) -> tuple[SearchSpace, Additive, Additive]:
    """A space, a cost and a utility."""
    space = draw(spaces())
    return space, draw(additives(space)), draw(additives(space))
