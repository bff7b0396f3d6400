"""What a build says of its goals and of paths that do not ship. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GoalAnswer:
    """What became of a goal.

    Attributes:
        goal: in words.
        met: whether a path meets all of it; None: something of it was not measured.
        path: id of the path that meets it, else of the nearest one.
        found: what that path has.
        helps: what would help, where it is not met.
        best: id of the most accurate path that meets it, where another one is the fastest.
        best_found: what that path has.
        timed: whether a latency decides it.
        near: where a goal of several parts is missed, of other paths the nearest that keep one of
            the parts: their ids, and what they have.
    """

    goal: str
    met: bool | None
    path: str
    found: str
    helps: tuple[str, ...] = ()
    best: str = ""
    best_found: str = ""
    timed: bool = False
    near: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A path that was built and does not ship.

    Attributes:
        id: of the path.
        for_path: the path that is faster and at least as good.
    """

    id: str
    for_path: str
