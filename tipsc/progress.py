"""How long work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called by long work; the command line draws a bar with it."""

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """`done` of `total` units are done; `note` says what is of interest meanwhile.

        A `total` of 0: nothing is done for now, and the note says what is waited for.
        """


class Reporter(Protocol):
    """Follows a build through its stages."""

    def begin(self, stage: str) -> Progress:
        """A stage begins; its progress is told to what this returns."""

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        """It is done, now or (cached) in an earlier build."""


def silent(done: float, total: float, note: str = "") -> None:
    """A :class:`Progress` that shows nothing."""


def part(progress: Progress, begin: float, end: float) -> Progress:
    """Progress of a part of some work, which counts from its own beginning.

    Args:
        progress: of the whole.
        begin, end: shares of the whole at which the part begins and ends, roughly.
    """

    def tell(done: float, total: float, note: str = "") -> None:
        if total <= 0:
            progress(0.0, 0.0, note)
            return
        share = min(max(done / total, 0.0), 1.0)
        progress(begin + (end - begin) * share, 1.0, note)

    return tell


class Silent:
    """Tells nobody."""

    def begin(self, stage: str) -> Progress:
        return silent

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        return None
