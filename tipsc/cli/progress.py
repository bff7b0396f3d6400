"""Progress on stderr: one line a stage, as a bar on a terminal and as plain text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from tipsc.cli.terminal import say
from tipsc.progress import Progress, Reporter, Silent
from tipsc.report.format import duration, shortened

if TYPE_CHECKING:
    from rich.console import Console

Clock = Callable[[], float]
NAME_WIDTH = 11
BAR_WIDTH = 32
NOTE_WIDTH = 30
LINE_EVERY_S = 10.0


class CommandReporter(Reporter, Protocol):
    """A reporter that leaves the terminal in order however the command ends."""

    def __enter__(self) -> Reporter: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class TimeLeft:
    """Seconds left of work that says how much of it is done.

    Work that was resumed begins in its middle, and a stage may have several parts, each of which
    counts from its own beginning: only what was seen of the current part gives the rate.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._restart(0.0, 0.0)

    def _restart(self, done: float, total: float) -> None:
        self._first, self._done, self._total = done, done, total
        self._began = self._clock()

    def update(self, done: float, total: float) -> float | None:
        """Tells of progress; None while nothing can be said."""
        if total != self._total or done < self._done:
            self._restart(done, total)
        self._done = done
        gained = done - self._first
        if gained <= 0:
            return None
        return max(0.0, (self._clock() - self._began) * (total - done) / gained)


class Course:
    """How far a stage is, which never goes back, and how long the rest will take."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._left = TimeLeft(clock)
        self.share = 0.0
        self.left_s: float | None = None

    def update(self, done: float, total: float) -> None:
        """Of work whose total turns out to be larger, the share stays until it is reached again."""
        if total <= 0:  # it waits
            self.left_s = None
            return
        self.left_s = self._left.update(done, total)
        self.share = max(self.share, _share(done, total))

    @property
    def left(self) -> str:
        """The time left, in words; "" where nothing can be said."""
        return "" if self.left_s is None else _left(self.left_s)


class SilentReporter(Silent):
    """Shows nothing."""

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class LineReporter:
    """Plain lines without control codes, for logs: a stage's end, and its progress now and then."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def begin(self, stage: str) -> Progress:
        course, said, waits = Course(self._clock), self._clock(), ""

        def progress(done: float, total: float, note: str = "") -> None:
            nonlocal said, waits
            course.update(done, total)
            if total <= 0:  # what is waited for is said at once, and once
                if note != waits:
                    say(f"{stage}: {note}", err=True)
                waits = note
                return
            if (now := self._clock()) - said < LINE_EVERY_S:
                return
            said = now
            facts = filter(None, [f"{course.share:.0%}", course.left, note])
            say(f"{stage}: {', '.join(facts)}", err=True)

        return progress

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        say(f"{stage}: {_ending(seconds, cached)}", err=True)


class BarReporter:
    """A bar for the stage at work; a stage that is done leaves one line."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self._console = console
        self._make = lambda: Bars(
            TextColumn("•", style="cyan"),
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR_WIDTH),
            TextColumn("{task.fields[share]}", markup=False),
            TextColumn("{task.fields[left]}", style="cyan", markup=False),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
            transient=True,
        )
        self._bars: Bars | None = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def begin(self, stage: str) -> Progress:
        self._stop()
        bars, course = self._make(), Course()
        # Without a total the bar pulses: at work, but how far is not known yet.
        task = bars.add_task(stage.ljust(NAME_WIDTH), total=None, share="", left="", note="")
        bars.start()
        self._bars = bars

        def progress(done: float, total: float, note: str = "") -> None:
            course.update(done, total)
            bars.update(
                task,
                completed=course.share,
                total=1.0,
                share=f"{course.share:4.0%}",
                left=course.left,
                note=shortened(note, NOTE_WIDTH),
            )

        return progress

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        from rich.text import Text

        self._stop()
        mark = ("○", "dim") if cached else ("✓", "green")
        ending = (_ending(seconds, cached), "dim")
        self._console.print(Text.assemble(mark, f" {stage.ljust(NAME_WIDTH)} ", ending))


def _share(done: float, total: float) -> float:
    return min(max(done / total, 0.0), 1.0) if total > 0 else 0.0


def _left(seconds: float) -> str:
    """An estimate, so without fractions of a second."""
    return f"{duration(seconds) if seconds >= 59.5 else f'{seconds:.0f} s'} left"


def _ending(seconds: float, cached: bool) -> str:
    return f"from cache (took {duration(seconds)})" if cached else f"done in {duration(seconds)}"


class LineByDevice:
    """Progress of several devices at once: a line for each, told apart by their labels.

    On a terminal a bar for each, which stay in their places; elsewhere plain lines.
    """

    def __init__(self, console: Console, labels: Sequence[str], *, quiet: bool) -> None:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._quiet = quiet
        self._width = max(map(len, labels), default=0)
        if quiet or not console.is_terminal:
            return
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR_WIDTH),
            TextColumn("{task.fields[share]}", markup=False),
            TextColumn("{task.fields[left]}", style="cyan", markup=False),
            console=console,
        )
        for label in labels:
            text = label.ljust(self._width)
            self._tasks[label] = self._bars.add_task(text, total=None, share="", left="")

    def __enter__(self) -> LineByDevice:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def of(self, label: str) -> Reporter:
        """The reporter of one device; it may be used from a thread of its own."""
        if self._quiet:
            return Silent()
        if self._bars is None:
            return _Labelled(LineReporter(), label)
        return _Bar(self._bars, self._tasks[label], label.ljust(self._width))


class _Labelled:
    def __init__(self, reporter: Reporter, label: str) -> None:
        self._reporter, self._label = reporter, label

    def begin(self, stage: str) -> Progress:
        return self._reporter.begin(f"{self._label}: {stage}")

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        self._reporter.end(f"{self._label}: {stage}", seconds, cached=cached)


class _Bar:
    def __init__(self, bars: Any, task: Any, label: str) -> None:
        self._bars, self._task, self._label = bars, task, label

    def begin(self, stage: str) -> Progress:
        course = Course()

        def progress(done: float, total: float, note: str = "") -> None:
            course.update(done, total)
            self._bars.update(
                self._task,
                description=f"{self._label} {stage}",
                completed=course.share,
                total=1.0,
                share=f"{course.share:4.0%}",
                left=course.left if total > 0 else note,
            )

        return progress

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        self._bars.update(
            self._task,
            description=f"{self._label} {stage}",
            completed=1.0,
            total=1.0,
            share=_ending(seconds, cached),
            left="",
        )
