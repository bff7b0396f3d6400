"""A quality: its value, its direction, and how people read it."""

from __future__ import annotations

import math

import pytest

from tipsc.errors import DataError
from tipsc.quality import SHARE, Quality


def test_better_is_above_whichever_way_is_better() -> None:
    high, low = Quality("accuracy", 0.9, SHARE), Quality("accuracy", 0.7, SHARE)
    assert high.above(low) == pytest.approx(0.2)
    near, far = Quality("error", 1.5, "mm", "lower"), Quality("error", 4.0, "mm", "lower")
    assert near.above(far) == 2.5
    assert near.merit > far.merit


def test_it_reads_with_its_unit() -> None:
    assert str(Quality("accuracy", 0.931, SHARE)) == "accuracy 93.1%"
    assert str(Quality("error", 1.5, "mm", "lower")) == "error 1.5 mm"
    assert str(Quality("score", 12.0)) == "score 12"


@pytest.mark.parametrize(
    ("value", "unit"), [(1.01, SHARE), (-0.01, SHARE), (math.nan, SHARE), (math.inf, "mm")]
)
def test_an_impossible_value_is_refused(value: float, unit: str) -> None:
    with pytest.raises(DataError, match="impossible value"):
        Quality("accuracy", value, unit)
