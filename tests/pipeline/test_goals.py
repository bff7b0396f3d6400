"""Whether goals are met, by which path, and what would help where they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tipsc.engine import Latency, PathEntry
from tipsc.engine.original import OriginalModel
from tipsc.pipeline.goals import Trained, answers_of, largest_of
from tipsc.pipeline.verdicts import GoalAnswer
from tipsc.project.config import Build, BuildGoal, Config, Convert, DataSource, ModelSource
from tipsc.project.target import load_target
from tipsc.quality import Quality
from tipsc.report.notes import DOUBTFUL_GOALS, goal_lines

HOST = load_target("host")


def entry(name: str, accuracy: float, ms: float | None, weights: int = 1000) -> PathEntry:
    latency = None if ms is None else Latency(0.9 * ms, ms, 1.2 * ms)
    quality = Quality("accuracy", accuracy, "share")
    return PathEntry(name, {}, quality, latency, 10, weights // 4, weights - 100, 100)


ORIGINAL = OriginalModel(
    Quality("accuracy", 0.90, "share"), 10_000, 1000, 50, Latency(9.0, 10.0, 12.0), 5000
)
PATHS = [entry("small", 0.80, 2.0, 800), entry("middle", 0.885, 6.0), entry("large", 0.899, 9.0)]


def answer(goal: BuildGoal, paths: list[PathEntry] = PATHS, **config: object) -> GoalAnswer:
    whole = Config(
        name="m", model=ModelSource(callable="m.py:load"), data=DataSource(callable="d.py:load"),
        build=Build(goals=(goal,)), **config,
    )  # fmt: skip
    (found,) = answers_of(whole, Trained(24, 0.012), HOST, paths, ORIGINAL)
    return found


@pytest.mark.parametrize(
    ("goal", "met", "path"),
    [
        (BuildGoal(lose_at_most=0.02), True, "middle"),
        (BuildGoal(lose_at_most=0.005), True, "large"),
        (BuildGoal(lose_at_most=0.0), False, "large"),
        (BuildGoal(latency_share=0.6), True, "middle"),
        (BuildGoal(latency_share=0.5), True, "small"),
        (BuildGoal(latency_ms=1.9), False, "small"),
        (BuildGoal(file_bytes=900), True, "small"),
        (BuildGoal(file_bytes=700), False, "small"),
        (BuildGoal(lose_at_most=0.02, latency_share=0.6), True, "middle"),
        (BuildGoal(lose_at_most=0.02, latency_share=0.5), False, "middle"),
    ],
)
def test_a_goal_is_met_by_the_fastest_or_the_best_path_that_has_all_of_it(
    goal: BuildGoal, met: bool, path: str
) -> None:
    found = answer(goal)
    assert (found.met, found.path) == (met, path)
    assert bool(found.helps) is not met


def test_an_answer_says_what_was_asked_and_what_the_path_has() -> None:
    found = answer(BuildGoal(lose_at_most=0.02, latency_share=0.7))
    assert found.goal == "lose at most 2 points and take at most 70% of the time of the original"
    assert found.found == "loses 1.5 points, 6 ms, 60% of 10 ms"
    assert answer(BuildGoal(file_bytes=900)).found == "800 bytes of weights"


def test_the_most_accurate_path_is_named_beside_the_fastest_one() -> None:
    found = answer(BuildGoal(lose_at_most=0.02))
    assert (found.path, found.best, found.best_found) == ("middle", "large", "loses 0.1 points")
    assert "  that is the fastest; the most accurate is large: loses 0.1 points" in goal_lines(
        [found], {}
    )
    # Nothing is better than the fastest, or the best was asked for.
    for goal in (BuildGoal(lose_at_most=0.005), BuildGoal(latency_share=0.95)):
        assert answer(goal).best == ""


def test_doubtful_latencies_are_said_below_the_goals_that_they_decide() -> None:
    timed, untimed = answer(BuildGoal(latency_share=0.6)), answer(BuildGoal(lose_at_most=0.02))
    assert DOUBTFUL_GOALS in goal_lines([untimed, timed], {}, doubtful=True)[-1]
    for lines in (goal_lines([timed], {}), goal_lines([untimed], {}, doubtful=True)):
        assert DOUBTFUL_GOALS not in "\n".join(lines)


def test_a_difference_that_the_test_examples_cannot_tell_is_called_close() -> None:
    assert "10000 test examples" in answer(BuildGoal(lose_at_most=0.016)).found
    assert "examples" not in answer(BuildGoal(lose_at_most=0.03)).found


def test_what_would_help_is_what_the_configuration_leaves_open() -> None:
    found = answer(BuildGoal(latency_ms=1.0), convert=Convert(widths=(0.5,), streams=True))
    text = "; ".join(found.helps)
    assert "convert.widths, now down to 0.5" in text and "convert.resolutions" in text
    assert "convert.streams" not in text and "train.epochs" not in text
    lost = "; ".join(answer(BuildGoal(lose_at_most=0.0)).helps)
    assert "train.epochs: 48, now 24" in lost and "build.share_loss" in lost
    assert "train.learning_rate: 0.004, now 0.012" in lost
    assert "convert" not in lost


def test_a_goal_of_two_parts_names_the_nearest_path_of_each() -> None:
    found = answer(BuildGoal(lose_at_most=0.02, latency_share=0.5))
    assert (found.met, found.path, found.near) == (
        False, "middle", (("small", "loses 10 points, 2 ms, 20% of 10 ms"),),
    )  # fmt: skip
    assert "  also near: small: loses 10 points, 2 ms, 20% of 10 ms" in goal_lines([found], {})
    helps = "; ".join(found.helps)
    assert "train.epochs" in helps and "convert.widths" not in helps  # narrower loses more
    assert answer(BuildGoal(lose_at_most=0.02)).near == ()


def test_without_a_latency_nobody_knows_yet() -> None:
    unbuilt = [replace(path, latency=None) for path in PATHS]
    found = answer(BuildGoal(latency_ms=5.0), unbuilt)
    assert found.met is None and "finish" in found.helps[0]
    assert answer(BuildGoal(file_bytes=900), unbuilt).met


def test_the_largest_path_of_a_supernet_stands_for_an_original() -> None:
    found = largest_of(PATHS, "large", 500)
    assert found is not None
    assert (found.quality.value, found.examples, found.file_bytes) == (0.899, 500, 1000)
    assert largest_of(PATHS, "absent", 500) is None
