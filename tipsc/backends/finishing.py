"""What is left to do to an engine on the device: plans, built there from its portable graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class PathCheck:
    """How one path fared, or several as one.

    Attributes:
        path_id: of the engine; several ids joined by ``+`` are paths that one plan would serve.
        module, version: of what judged it.
        plan_bytes: of the plan that was built; 0 when there is none.
        seconds: parsing and building.
        problem: why there is none; it names all nodes that are not supported. Empty: accepted.
    """

    path_id: str
    module: str
    version: str
    plan_bytes: int
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class PlanTrial:
    """How a shared plan compared with the plans of its paths.

    Attributes:
        paths: ids.
        kept: it takes the place of theirs.
        plan_bytes, alone_bytes: of it, and of theirs together.
        slowdowns: by path id, of whole calls as an application makes them; empty if not timed.
        problem: why it could not be tried; empty if it was.
        noise: what makes the slowdowns doubtful; empty if nothing does.
    """

    paths: tuple[str, ...]
    kept: bool
    plan_bytes: int
    alone_bytes: int
    slowdowns: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    noise: str = ""


class Finisher(Protocol):
    """What the module of a backend offers whose engines are finished on the device.

    The device itself is asked for the job ``plans``, with an engine and a graph for each group.
    """

    @property
    def PLANS(self) -> str:
        """What plans there will be, in words: a part of the recipe."""

    def installed(self) -> str | None:
        """The module that can try a path on this machine, without the device; None: none can."""

    def check_engine(
        self, file: Path, names: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> tuple[PathCheck, ...]:
        """Tries paths of an engine here; a name may be that of several as one."""

    def depth_groups(self, graphs: Mapping[str, bytes]) -> tuple[tuple[str, ...], ...]:
        """Sets of paths that one plan could serve, each of two or more; no path is in two."""

    def merge_graphs(self, graphs: Sequence[bytes]) -> bytes:
        """One graph for several paths."""
