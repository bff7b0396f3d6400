"""The page and the terminal say what sharing costs, and what the data cannot tell."""

from __future__ import annotations

from dataclasses import replace

from made_up_reports import report
from test_report_page import parsed
from test_report_tables import printed

from tipsc.pipeline.climbs import PathClimb, Tried
from tipsc.quality import Quality
from tipsc.report import render, sharing_tables
from tipsc.report.sharing import points, said_of


def share(value: float) -> Quality:
    return Quality("accuracy", value, "share")


LOSING = PathClimb(
    "ab12cd34", share(0.80), share(0.82), 0.02, 0.004, bytes=60_000, all_bytes=100_000, left=0.004,
    tried=(
        Tried("bias", 40, share(0.79), -0.01, 0.002, 0.03, False),
        Tried("stages.0.[red]", 60_000, share(0.816), 0.016, 0.003, 0.004, True),
    ),
)  # fmt: skip
UNSURE = PathClimb("ef56ab78", share(0.9), share(0.905), 0.005, 0.003, 0, 400_000, 0.005, ())


def test_each_step_says_what_it_bought() -> None:
    said, steps, engines = sharing_tables([LOSING, UNSURE])
    assert isinstance(said, str) and "1 of 2 paths lost more points" in said
    lines = printed(steps)
    (kept,) = [line for line in lines if "stages.0.[red]" in line]
    assert kept.split()[1:] == ["60.0", "kB", "81.60", "1.60", "±", "0.30", "0.40", "kept"]
    (bias,) = [line for line in lines if "bias" in line]
    assert "kept" not in bias and "-1.00 ± 0.20" in bias
    (ships,) = [line for line in printed(engines) if "as it ships" in line]
    assert ships.split()[3:] == ["60.0", "kB", "0.45", "0.50"]
    assert max(map(len, [*lines, *printed(engines)])) <= 100


def test_what_the_examples_cannot_tell_is_said() -> None:
    assert "of 1 the validation examples cannot tell" in said_of([LOSING, UNSURE])
    assert "cannot tell" not in said_of([LOSING])


def test_the_page_has_it_where_somebody_looked() -> None:
    page = render(replace(report(), climbs=(LOSING, UNSURE)))
    assert parsed(page).open == []
    assert "What sharing costs" in page and "stages.0.[red]" in page
    assert "What sharing costs" not in render(report())
    assert sharing_tables([]) == []


def test_a_difference_is_in_the_unit_of_the_quality() -> None:
    assert points(0.0125, share(0.5)) == "1.25"
    assert points(0.0125, Quality("error", 2.0, "mm", "lower")) == "0.0125"
