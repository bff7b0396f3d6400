"""The paths that a configuration names itself (``build.ship``), in place of a search."""

from __future__ import annotations

from collections.abc import Mapping

from tipsc.errors import ConfigError, PathError
from tipsc.paths import Path, SearchSpace
from tipsc.pipeline.context import TargetProject

#: in a space of at most so many paths one is found by its id
_LISTED = 100_000
_WHERE = "build.ship"


def asked_paths(project: TargetProject) -> tuple[Path, ...]:
    """The paths to ship, none twice; none where the search finds them.

    Raises:
        ConfigError: there is no such path.
    """
    space = project.untrained.space
    return tuple(dict.fromkeys(path_of(space, wish) for wish in project.config.build.ship))


def path_of(space: SearchSpace, wish: str | Mapping[str, int]) -> Path:
    """The path of an id, of options, or one of the ends of the space.

    Raises:
        ConfigError: there is no such path.
    """
    if isinstance(wish, str):
        if wish in ("largest", "smallest"):
            return space.largest if wish == "largest" else space.smallest
        found = None
        if space.size <= _LISTED:
            found = next((path for path in space.enumerate(_LISTED) if path.id == wish), None)
        if found is None:
            raise ConfigError(
                f"no path of this model is known by {wish!r}",
                where=_WHERE,
                expected="an id, `largest`, `smallest`, or options",
                fix="give its options: `tipsc inspect ENGINE --format json` prints them",
            )
        return found
    try:
        return space.path(wish)
    except PathError as error:
        raise ConfigError(error.what, where=_WHERE, got=error.got, fix=error.fix) from error
