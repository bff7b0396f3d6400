"""Progress: the time left, plain lines, and a terminal that is left in order."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tipsc.cli.progress import BarReporter, Course, LineReporter, TimeLeft
from tipsc.device.measuring import told_as
from tipsc.progress import part


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_follows_the_rate():
    clock = Clock()
    estimate = TimeLeft(clock)
    assert estimate.update(1, 11) is None  # one point has no rate
    clock.now += 2
    assert estimate.update(2, 11) == pytest.approx(18)


def test_resumed_work_is_not_taken_for_fast_work():
    clock = Clock()
    estimate = TimeLeft(clock)
    estimate.update(50, 100)
    clock.now += 10
    assert estimate.update(60, 100) == pytest.approx(40)


def test_a_new_part_of_a_stage_starts_anew():
    clock = Clock()
    estimate = TimeLeft(clock)
    for done in range(1, 11):
        clock.now += 1
        estimate.update(done, 10)
    assert estimate.update(1, 4) is None
    clock.now += 5
    assert estimate.update(2, 4) == pytest.approx(10)


def test_lines_are_rare_and_plain(capsys):
    clock = Clock()
    reporter = LineReporter(clock)
    progress = reporter.begin("train")
    for done in range(1, 101):
        clock.now += 0.5
        progress(done, 100, "loss 1.5")
    reporter.end("train", 50, cached=False)
    reporter.end("profile", 3, cached=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train: 20%, 40 s left, loss 1.5"
    assert lines[-2:] == ["train: done in 50.0 s", "profile: from cache (took 3.00 s)"]
    assert len(lines) == 7


def test_a_stage_never_goes_back_though_its_parts_do():
    course = Course(Clock())
    shares = []
    for done, total in ((1, 2), (2, 2), (1, 4), (0, 0), (3, 8)):
        course.update(done, total)
        shares.append(course.share)
    assert shares == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_parts_are_shares_of_the_whole_and_a_wait_is_none():
    told = []

    def progress(done, total, note=""):
        told.append((done, total, note))

    part(progress, 0.2, 0.6)(1, 2, "half of it")
    part(part(progress, 0.0, 0.5), 0.5, 1.0)(3, 3)
    part(progress, 0.2, 0.6)(0, 0, "waits")
    assert told == [(pytest.approx(0.4), 1.0, "half of it"), (0.5, 1.0, ""), (0.0, 0.0, "waits")]


def test_what_is_waited_for_is_said_at_once_and_once(capsys):
    clock = Clock()
    progress = LineReporter(clock).begin("profile")
    waiting = told_as(part(progress, 0.0, 0.5), "measuring")
    for _ in range(100):
        clock.now += 0.5
        waiting(0.0, 60.0)
    waiting(0.5, 3.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["profile: waits for quiet, 60 s at most", "profile: 25%, measuring"]


def test_a_bar_leaves_one_line_for_each_stage():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, color_system=None)
    with BarReporter(console) as reporter:
        progress = reporter.begin("train")
        progress(1, 2, "loss [0.5]")  # brackets are text, not markup
        reporter.end("train", 1.5, cached=False)
        reporter.begin("engine")
        reporter.end("engine", 2, cached=True)
    lasting = [line for line in text.getvalue().splitlines() if "done" in line or "cache" in line]
    assert len(lasting) == 2
    assert "✓ train" in lasting[0] and "done in 1.50 s" in lasting[0]
    assert "○ engine" in lasting[1] and "from cache" in lasting[1]


def test_an_error_gives_the_cursor_back():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    with pytest.raises(RuntimeError), BarReporter(console) as reporter:
        reporter.begin("train")(1, 2)
        raise RuntimeError
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert text.getvalue().rindex(shown) > text.getvalue().rindex(hidden)
