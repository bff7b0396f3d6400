"""A build in which nothing has changed: told by its files alone, without torch and in a second.

When a build is done, what it read is kept with its size and its time of change: the files of the
project, and all others that Python opened meanwhile. While these, tipsc itself, the installed
packages and the processor stay as they are, the build would do nothing, and what it said is said
again. What a project reads by other means, a database or the network, is not seen here; then
``tipsc build --look`` looks at model and data themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tipsc.engine.atomic import write_atomically
from tipsc.fingerprint.installed import code_of

RUNS = "runs"
_KEPT = "built-{}.json"
#: folders of a project that a build writes itself, or that hold no source
_OWN = (RUNS, "profiles", "__pycache__")
_MOST_FILES = 50_000  # of a project; beyond that looking at each takes as long as a build
_SYSTEM = ("/proc", "/sys", "/dev", "/usr/lib", "/etc")
_LISTS = ("os.listdir", "os.scandir")
_PACKAGE = Path(__file__).resolve().parents[1]  # whose code is compared as a whole
_WRITES = os.O_WRONLY | os.O_RDWR

Stat = list[int]


@dataclass(frozen=True)
class KeptBuild:
    """What a build said.

    Attributes:
        document: as JSON.
        lines: for people.
        notes: that were made before it began.
        stages: name to the seconds that it took.
        folders: of its stages.
        targets: that it was for.
    """

    document: Any
    lines: tuple[str, ...]
    notes: tuple[str, ...]
    stages: Mapping[str, float]
    folders: tuple[str, ...]
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class UsedStages:
    """The stages of a build that ended.

    Attributes:
        targets: that it was for; several have one training.
        folders: of the stages.
    """

    targets: tuple[str, ...]
    folders: tuple[Path, ...]


class Watch:
    """Notes which files and folders Python reads from here on."""

    def __init__(self) -> None:
        self._read: dict[str, int] = {}
        self._on = True
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on or (event != "open" and event not in _LISTS):
            return
        path = arguments[0]
        if not isinstance(path, str | os.PathLike):
            return
        if event == "open" and _is_written(arguments[1], arguments[2]):
            return
        # As it is called: a link is followed when it is looked at.
        self._read.setdefault(str(Path.cwd() / path), time.time_ns())

    def end(self) -> dict[str, int]:
        """Path to when it was read first, in ns; nothing is noted any more."""
        self._on = False
        return self._read


def _is_written(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITES)


def kept_build(folder: Path, request: Mapping[str, object]) -> KeptBuild | None:
    """What a build of this request said, if it would do nothing now; else None.

    Args:
        folder: of the configuration.
        request: what was asked for.
    """
    file = _file_of(folder, request)
    try:
        found = json.loads(file.read_text())
        if found["around"] != _around() or found["project"] != _project(folder, found["made"]):
            return None
        if any(_stat(path) != seen for path, seen in found["read"].items()):
            return None
        kept = found["said"]
        return KeptBuild(
            kept["document"],
            tuple(kept["lines"]),
            tuple(kept["notes"]),
            kept["stages"],
            tuple(kept["folders"]),
            tuple(kept["targets"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def keep_build(
    folder: Path,
    request: Mapping[str, object],
    watch: Watch,
    made: Iterable[Path],
    said: KeptBuild,
) -> None:
    """Keeps what a build said; only its stages if something changed after it was read.

    Args:
        made: files that the build wrote for people: a change of one is a change.
    """
    written = [str(file.resolve()) for file in made]
    inside = [str(file) for place in said.folders for file in Path(place).rglob("*")]
    read = {
        path: at
        for path, at in watch.end().items()
        if path not in written and _counts(path, folder)
    }
    stats = {path: _stat(path) for path in (*read, *written, *inside)}
    project = _project(folder, written)
    changed = any(
        seen is not None and len(seen) == 2 and path in read and seen[1] > read[path]
        for path, seen in stats.items()
    )
    if changed or project is None:
        keep_stages(folder, request, said.targets, said.folders)
        return
    content = {
        "around": _around(),
        "project": project,
        "made": written,
        "read": {path: seen for path, seen in stats.items() if seen is not None},
        "said": vars(said),
    }
    write_atomically(_file_of(folder, request), [json.dumps(content).encode()])


def keep_stages(
    folder: Path, request: Mapping[str, object], targets: Iterable[str], folders: Iterable[str]
) -> None:
    """Keeps which stages a build used, and nothing of what it said: the next one looks anew."""
    content = {"said": {"targets": list(targets), "folders": list(folders)}}
    write_atomically(_file_of(folder, request), [json.dumps(content).encode()])


def used_stages(folder: Path) -> Iterator[UsedStages]:
    """The stages of each build that is kept in a project, where the project lies now.

    It may have been moved, or be a copy: a stage is known by the last two parts of its place, which
    are ``NAME/STAGE-KEY``.
    """
    for file in sorted((folder / RUNS).glob(_KEPT.format("*"))):
        try:
            said = json.loads(file.read_text())["said"]
            parts = [Path(place).parts[-2:] for place in said["folders"]]
            folders = tuple((folder / RUNS).joinpath(*each) for each in parts)
            yield UsedStages(tuple(said["targets"]), folders)
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _file_of(folder: Path, request: Mapping[str, object]) -> Path:
    text = json.dumps(request, sort_keys=True, default=str)
    return folder / RUNS / _KEPT.format(hashlib.sha256(text.encode()).hexdigest()[:12])


def _around() -> list[str]:
    """tipsc, the installed packages, Python and the processor."""
    packages = sorted(
        entry.name
        for place in dict.fromkeys(sys.path)
        if place and Path(place).is_dir()
        for entry in os.scandir(place)
        if entry.name.endswith((".dist-info", ".egg-info"))
    )
    digest = hashlib.sha256("\n".join(packages).encode()).hexdigest()
    return [code_of(("",)), digest, sys.version, _processor()]


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as stream:
            return next(line for line in stream if line.startswith("model name")).strip()
    except (OSError, StopIteration):
        return platform.processor()


def _project(folder: Path, made: Iterable[str]) -> dict[str, Stat] | None:
    """The files of a project; None if they are too many."""
    folder, apart = folder.resolve(), set(made)
    found: dict[str, Stat] = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in _OWN and not name.startswith(".") and not name.endswith("-cache")
        ]
        for name in files:
            path = f"{place}{os.sep}{name}"  # a Path for each of many files takes long
            seen = _stat(path)
            if path not in apart and seen is not None:
                found[path] = seen
        if len(found) > _MOST_FILES:
            return None
    return found


def _counts(path: str, folder: Path) -> bool:
    """Whether what was read is a source: neither installed, nor of the system, nor made here."""
    parts = Path(path).parts
    if any(part in _OWN or part.endswith("-cache") for part in parts):
        return False
    if path in sys.path:  # looked through for modules
        return False
    apart = (
        str(_PACKAGE),
        sys.prefix,
        sys.base_prefix,
        "/proc",
        "/sys",
        "/dev",
        "/usr/lib",
        "/etc",
    )
    if any(path == place or path.startswith(place + os.sep) for place in apart):
        return False
    if "site-packages" in parts or "dist-packages" in parts:
        return False
    # Its entries are compared one by one; it changes when an engine is written.
    return Path(path) != folder.resolve()


def _stat(path: str) -> Stat | None:
    """Size and time of change of a file; the latter of a folder; None if it is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return [found.st_mtime_ns]
    return [found.st_size, found.st_mtime_ns]
