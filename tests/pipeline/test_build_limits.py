"""What only an evaluation or a measurement can tell is held to its limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tipsc.elastic import Statistics
from tipsc.errors import BudgetError
from tipsc.paths import Choice, SearchSpace
from tipsc.pipeline.limits import SearchRecord, within_limits
from tipsc.project.config import BuildLimits
from tipsc.quality import Quality
from tipsc.search.candidates import Candidate

SPACE = SearchSpace((Choice("width", (1, 2)),))
CANDIDATES = [
    Candidate(path, Quality("accuracy", share, "share"), 1, 1, Statistics(path.id))
    for path, share in ((SPACE.smallest, 0.5), (SPACE.largest, 0.75))
]
RECORDS = [
    SearchRecord(candidate.path.id, 0.5, latency_ms, measured=True)
    for candidate, latency_ms in zip(CANDIDATES, (1.0, 2.0), strict=True)
]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (BuildLimits(latency_ms=1.9), [0]),
        (BuildLimits(latency_ms=2.0), [0, 1]),
        (BuildLimits(quality=0.6), [1]),
        (BuildLimits(quality=0.5), [0, 1]),
        (BuildLimits(), [0, 1]),
    ],
)
def test_those_within_the_limits_are_kept(limits: BuildLimits, kept: list[int]) -> None:
    assert within_limits(CANDIDATES, RECORDS, limits) == (
        [CANDIDATES[i] for i in kept],
        [RECORDS[i] for i in kept],
    )


def test_where_none_is_within_the_limits_the_nearest_is_named() -> None:
    with pytest.raises(BudgetError, match=r"latency_ms at most 0\.9"):
        within_limits(CANDIDATES, RECORDS, BuildLimits(latency_ms=0.9))
    with pytest.raises(BudgetError, match="75"):
        within_limits(CANDIDATES, RECORDS, BuildLimits(quality=0.9))


def test_where_lower_is_better_the_limit_is_the_most() -> None:
    errors = [
        replace(c, quality=Quality("error", c.judged.value, "mm", "lower")) for c in CANDIDATES
    ]
    assert within_limits(errors, RECORDS, BuildLimits(quality=0.6))[0] == errors[:1]
    with pytest.raises(BudgetError, match=r"error at most 0\.1 mm.*error 0\.5 mm"):
        within_limits(errors, RECORDS, BuildLimits(quality=0.1))
