"""Paths that ship: drawn with as much compute each, or as many steps."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.dtmc.shipping import Shipping
from tipsc.errors import DataError
from tipsc.paths import Choice, SearchSpace

SPACE = SearchSpace((Choice("a", (1, 2, 3)), Choice("b", (1, 2))))
PATHS = list(SPACE.enumerate())


@pytest.mark.parametrize(("thrift", "expected"), [(1.0, 0.8), (0.0, 0.5)])
def test_cheap_paths_are_drawn_more_often(thrift: float, expected: float) -> None:
    sampler = Shipping.of(PATHS[:2], [1.0, 4.0], thrift)
    generator = random.Random(0)
    drawn = Counter(sampler.draw(generator, 1)[0] for _ in range(4000))
    assert drawn[PATHS[0]] / 4000 == pytest.approx(expected, abs=0.03)


@given(count=st.integers(0, 12), known=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_step_has_distinct_paths_as_far_as_there_are(count: int, known: int, seed: int) -> None:
    sampler = Shipping.of(PATHS[:known], [1.0] * known)
    drawn = sampler.draw(random.Random(seed), count)
    assert len(drawn) == count and set(drawn) <= set(PATHS[:known])
    assert len(set(drawn)) == min(count, known)
    assert drawn == sampler.draw(random.Random(seed), count)


@pytest.mark.parametrize(
    ("paths", "weights"),
    [([], []), ([0, 0], [1.0, 1.0]), ([0, 1], [1.0]), ([0, 1], [1.0, 0.0])],
)
def test_what_cannot_be_drawn_from_is_refused(paths: list[int], weights: list[float]) -> None:
    with pytest.raises(DataError, match="no paths to draw from"):
        Shipping(tuple(PATHS[i] for i in paths), tuple(weights))


def test_each_device_has_as_large_a_share_of_the_draws() -> None:
    one, other = Shipping.of(PATHS[:2], [1.0, 4.0]), Shipping.of(PATHS[1:3], [2.0, 2.0], 0.0)
    mixed = Shipping.mixed([one, other])
    assert mixed.paths == tuple(PATHS[:3])
    assert mixed.weights == pytest.approx((0.4, 0.1 + 0.25, 0.25))
    assert Shipping.mixed([one]) is one
