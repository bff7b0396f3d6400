"""How long work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called by long work; the command line draws a bar with it."""

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """`done` of `total` units are done; `note` says what is of interest meanwhile."""


class Reporter(Protocol):
    """Follows a build through its stages."""

    def begin(self, stage: str) -> Progress:
        """A stage begins; its progress is told to what this returns."""

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        """It is done, now or (cached) in an earlier build."""


def silent(done: float, total: float, note: str = "") -> None:
    """A :class:`Progress` that shows nothing."""


class Silent:
    """Tells nobody."""

    def begin(self, stage: str) -> Progress:
        return silent

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        return None
