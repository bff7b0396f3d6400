"""Which paths the tables call dominated."""

from __future__ import annotations

import pytest

from tipsc.build_report import _dominates
from tipsc.engine import Latency, PathEntry


def entry(accuracy: float | None, p50_ms: float) -> PathEntry:
    return PathEntry("abc", {}, accuracy, Latency(p50_ms, p50_ms, p50_ms), 1, 1, 0, 0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.9, 1.0), (0.8, 2.0), True),
        ((0.9, 1.0), (0.9, 2.0), True),
        ((0.9, 1.0), (0.8, 1.0), True),
        ((0.9, 1.0), (0.9, 1.0), False),  # alike
        ((0.8, 1.0), (0.9, 2.0), False),
        ((0.9, 2.0), (0.8, 1.0), False),
        ((None, 1.0), (None, 2.0), True),
    ],
)
def test_a_faster_path_that_is_as_accurate_dominates(one, other, expected) -> None:
    assert _dominates(entry(*one), entry(*other)) is expected
