"""What earlier builds left behind in a project, and removing it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tipsc.errors import UsageError
from tipsc.pipeline.stages import KEY_DIGITS, only_one_build
from tipsc.pipeline.unchanged import RUNS, kept_folders


@dataclass(frozen=True)
class OldStage:
    """A stage that no build as it is now goes back to.

    Attributes:
        folder: of it.
        name: of the stage.
        bytes: of its files.
        done: whether it was; else a build was stopped in it.
    """

    folder: Path
    name: str
    bytes: int
    done: bool


def old_stages(folder: Path, *, everything: bool = False) -> tuple[OldStage, ...]:
    """The stages that can be removed, the largest first.

    Args:
        folder: of the configuration.
        everything: those of the last builds as well; the next build begins anew.

    Raises:
        UsageError: no build of the project has ended, so that nobody knows what is old.
    """
    kept = {place.resolve() for place in kept_folders(folder)}
    places = list(_stages(folder))
    if places and not kept and not everything:
        raise UsageError(
            "no build has ended here, so that nothing is known to be old",
            where=str(folder / RUNS),
            fix="give --all to remove all stages, or end a build first",
        )
    found = [_old(place) for place in places if everything or place.resolve() not in kept]
    return tuple(sorted(found, key=lambda stage: (-stage.bytes, stage.folder)))


def remove(folder: Path, stages: Iterable[OldStage]) -> None:
    """Removes them.

    Raises:
        UsageError: a build is at work there.
    """
    by_run: dict[Path, list[OldStage]] = {}
    for stage in stages:
        by_run.setdefault(stage.folder.parent, []).append(stage)
    for run, old in by_run.items():
        with only_one_build(run):
            for stage in old:
                shutil.rmtree(stage.folder)


def _stages(folder: Path) -> Iterable[Path]:
    """Folders that a build made: ``runs/NAME/STAGE-KEY``."""
    for place in sorted((folder / RUNS).glob("*/*-*")):
        key = place.name.rpartition("-")[2]
        is_key = len(key) == KEY_DIGITS and not key.strip("0123456789abcdef")
        if is_key and place.is_dir() and not place.is_symlink():
            yield place


def _old(place: Path) -> OldStage:
    files = [file for file in place.rglob("*") if file.is_file() and not file.is_symlink()]
    size = sum(file.stat().st_size for file in files)
    return OldStage(place, place.name.rpartition("-")[0], size, _is_done(place))


def _is_done(place: Path) -> bool:
    try:
        return "seconds" in json.loads((place / "stage.json").read_text())
    except (OSError, ValueError, TypeError):
        return False
