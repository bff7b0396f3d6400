"""Compiled plans in an engine: one for each path, or one that several paths share.

A plan that is shared has one more input, a boolean, for each of its paths but the last: exactly
the one of the path that is to run is true, or none of them for the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DevicePlan:
    """What a device's compiler made of one path or more.

    Attributes:
        paths: ids, in the order of its switches.
        content: as the compiler gave it.
    """

    paths: tuple[str, ...]
    content: bytes | memoryview

    @property
    def name(self) -> str:
        """The name of a file with it."""
        return plan_name(self.paths)


def plan_name(paths: Sequence[str]) -> str:
    """Of a plan for these paths; an id has no ``+``."""
    return "+".join(paths)


def paths_of(name: str) -> tuple[str, ...]:
    """The inverse of :func:`plan_name`."""
    return tuple(name.split("+"))


def switch_names(count: int) -> tuple[str, ...]:
    """The boolean inputs of a plan for `count` paths."""
    return tuple(f"runs{place}" for place in range(count - 1))


def switches(place: int, count: int) -> dict[str, bool]:
    """What these inputs are when the path at `place` runs."""
    return {name: at == place for at, name in enumerate(switch_names(count))}
