"""What paths were given for themselves: what each step bought, in quality and in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tipsc.quality import Quality


@dataclass(frozen=True)
class Tried:
    """A path with some weights of its own; differences are in the unit of the quality.

    Attributes:
        label: what was added to what was kept before.
        bytes: that the engine's weights grow by, in the target's precision, against a path that
            shares all; about, the engine says what it was in the end.
        quality: on validation data.
        gained: over the best before it, with its standard error.
        lost: what it still loses against the path with all weights its own.
        kept: whether it gained, and not by chance.
    """

    label: str
    bytes: int
    quality: Quality
    gained: float
    error: float
    lost: float
    kept: bool


@dataclass(frozen=True)
class PathClimb:
    """What one path was tried with, and what it ships with.

    Attributes:
        path_id: the path.
        shared: its quality on validation data where it shares all.
        alone: where all its weights are its own.
        lost: the difference, in the unit of the quality.
        error: its standard error.
        bytes: that the engine's weights grow by for what it ships with.
        all_bytes: and would grow by if all its weights were its own.
        left: what it loses as it ships.
        tried: in order; none if it loses no more by sharing than it may.
    """

    path_id: str
    shared: Quality
    alone: Quality
    lost: float
    error: float
    bytes: int
    all_bytes: int
    left: float
    tried: tuple[Tried, ...]

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> PathClimb:
        """The inverse of ``dataclasses.asdict``."""
        tried = tuple(Tried(**{**t, "quality": Quality(**t["quality"])}) for t in record["tried"])
        qualities = {name: Quality(**record[name]) for name in ("shared", "alone")}
        return cls(**{**record, **qualities, "tried": tried})


@dataclass(frozen=True)
class Trade:
    """An engine that could be built: bytes against what its paths lose by sharing.

    Attributes:
        label: what was added.
        bytes: that its weights grow by against an engine whose paths share all.
        mean: over the paths, of what they lose; below zero if they gain by sharing.
        worst: of one path.
    """

    label: str
    bytes: int
    mean: float
    worst: float


def trades(climbs: Sequence[PathClimb]) -> tuple[Trade, ...]:
    """From all shared to each path alone, always what gains most for its bytes; then what ships."""
    state = {climb.path_id: (0, climb.lost) for climb in climbs}
    found = [_trade("all shared", state)]
    while steps := list(_steps(climbs, state)):
        _, path_id, label, option = max(steps)
        state[path_id] = option
        found.append(_trade(f"{path_id}: {label}", state))
    alone = {climb.path_id: (climb.all_bytes, 0.0) for climb in climbs}
    ships = {climb.path_id: (climb.bytes, climb.left) for climb in climbs}
    return (*found, _trade("each path alone", alone), _trade("as it ships", ships))


def _steps(
    climbs: Sequence[PathClimb], state: Mapping[str, tuple[int, float]]
) -> Iterator[tuple[float, str, str, tuple[int, float]]]:
    """What could be done next: gain for a byte, path, label, bytes and loss after it."""
    for climb in climbs:
        held, lost = state[climb.path_id]
        options = {t.label: (t.bytes, t.lost) for t in climb.tried}
        options["all"] = (climb.all_bytes, 0.0)
        for label, (size, left) in options.items():
            if left < lost and size >= held:
                yield (lost - left) / max(1, size - held), climb.path_id, label, (size, left)


def _trade(label: str, state: Mapping[str, tuple[int, float]]) -> Trade:
    losses = [lost for _, lost in state.values()]
    total = sum(size for size, _ in state.values())
    return Trade(label, total, sum(losses) / len(losses), max(losses))
