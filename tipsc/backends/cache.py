"""A device-specific form of an engine, as a folder of files that is whole or not there.

The folder holds a record (what it was made from and for, and the SHA-256 of each file). It is
built under a temporary name and renamed. One process builds at a time; the others wait and use
what it built. A builder that is killed leaves a temporary folder, which the next one removes.

Whoever can write record and files decides what is computed, so both count only where nobody else
can write (:mod:`tipsc.backends.cache_place`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tipsc.backends.cache_lock import locked
from tipsc.backends.cache_place import RECORD, keyed_folder, others_write, why_foreign
from tipsc.engine.atomic import sync_folder, write_through
from tipsc.engine.strict import dumps, loads
from tipsc.errors import EngineDamagedError, EngineDeviceError, EngineError, UsageError

__all__ = ["RECORD", "Build", "is_sound", "keyed_folder", "kept", "obtain"]

_MAX_RECORD = 4 << 20
_CHUNK = 1 << 20

#: fills an empty folder with files
Build = Callable[[Path], None]


@contextlib.contextmanager
def kept(
    engine: Path | None, key: Mapping[str, str], build: Build, cache_dir: Path | None
) -> Iterator[Path]:
    """The folder with the form for `key`, for as long as it takes to open what is in it.

    Args:
        engine: the engine file, if it came from one.
        key: as for :func:`obtain`.
        build: makes it.
        cache_dir: the folder that the user named. None: tipsc chooses.

    Raises:
        EngineDeviceError, UsageError: as :func:`obtain` does.
    """
    folder = cache_dir if cache_dir is not None else keyed_folder(engine, key)
    if folder is not None:
        yield obtain(folder, key, build, owned=cache_dir is None)
        return
    logging.getLogger("tipsc").warning(
        "%s: there is no folder for its finalised form that only this user can write; it is made "
        "again each time. Give a cache_dir.",
        engine or "engine",
    )
    # What is mapped outlives the names of the files.
    with tempfile.TemporaryDirectory(prefix="tipsc-") as temporary:
        with _storing(Path(temporary)):
            _build_into(Path(temporary), key, build)
        yield Path(temporary)


def obtain(folder: Path, key: Mapping[str, str], build: Build, *, owned: bool) -> Path:
    """The folder with the form for `key`: the one that is there if it is sound, else a new one.

    Args:
        folder: where it is, or shall be.
        key: what it was made from and for; all of it must match. ``engine`` is the content hash.
        build: makes it.
        owned: tipsc chose the folder. False: the user did, and what lies there for another
            engine or device is refused instead of replaced.

    Raises:
        EngineDeviceError: not `owned`, and the folder was made for another engine or device.
        UsageError: not `owned`, and the folder is no cache, or others can write it; or it cannot
            be written; or another process has been building it for too long.
    """
    folder = folder.absolute() if owned else folder.resolve()
    if not owned:
        _refuse_foreign(folder, key)
    if is_sound(folder, key):
        return folder
    with _storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if is_sound(folder, key):  # another process built it meanwhile
                return folder
            prefix = f".{folder.name}.tmp-"
            for stale in folder.parent.glob(f"{prefix}*"):
                shutil.rmtree(stale, ignore_errors=True)
            fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
            try:
                _build_into(fresh, key, build)
                if os.path.lexists(folder):
                    folder.rename(Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent), "old"))
                fresh.rename(folder)
                sync_folder(folder.parent)
                if owned:
                    _forget_older_engines(folder.parent, key["engine"])
            finally:
                for rest in folder.parent.glob(f"{prefix}*"):
                    shutil.rmtree(rest, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _storing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot keep the finalised engine: {error.strerror or error}",
            where=str(folder),
            fix="give a cache_dir that can be written and has room",
        ) from error


def _build_into(folder: Path, key: Mapping[str, str], build: Build) -> None:
    """Let `build` fill the empty `folder`, then record what is there, durably.

    Raises:
        OSError: the folder cannot be written, for one since the disk is full.
    """
    try:
        build(folder)
    except EngineError:
        _raise_if_full(folder)  # a backend does not say that its file could not be written
        raise
    files = {}
    for file in sorted(folder.iterdir()):
        file.chmod(0o600)
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        files[file.name] = _sha256(file)
    write_through(folder / RECORD, [dumps({"key": dict(key), "files": files})])
    (folder / RECORD).chmod(0o600)
    sync_folder(folder)


def is_sound(folder: Path, key: Mapping[str, str]) -> bool:
    """Whether `folder` is this user's, made for `key`, and all files have the recorded SHA-256."""
    if why_foreign(folder) is not None:
        return False
    record = _record(folder)
    if record is None or record["key"] != dict(key):
        return False
    files: dict[str, str] = record["files"]
    try:
        present = {file.name for file in folder.iterdir()}
        return present == {RECORD, *files} and all(
            _sha256(folder / name) == digest for name, digest in files.items()
        )
    except OSError:
        return False


def _forget_older_engines(parent: Path, engine: str) -> None:
    """Remove what was made from the engine file before it was built again."""
    for folder in parent.iterdir():
        record = _record(folder)
        if record is not None and record["key"].get("engine") != engine:
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_foreign(folder: Path, key: Mapping[str, str]) -> None:
    if not folder.exists():
        return
    foreign = why_foreign(folder)
    if foreign is not None:
        raise UsageError(
            f"cache_dir cannot be trusted: {foreign}",
            where=str(folder),
            fix="name a folder that only you can write (chmod go-w), or leave cache_dir out",
        )
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if not (folder / RECORD).is_file():
        raise UsageError(
            "cache_dir is not empty and holds no finalised engine",
            where=str(folder),
            fix="name an empty folder, or one that tipsc made",
        )
    record = _record(folder)
    if record is None:  # damaged: rebuilt
        return
    for name, value in key.items():
        if record["key"].get(name) != value:
            raise EngineDeviceError(
                f"cache_dir holds an engine that was finalised for another {name}",
                where=str(folder),
                expected=value,
                got=record["key"].get(name),
                fix="name another folder, or leave cache_dir out",
            )


def _record(folder: Path) -> dict | None:
    try:
        content = _read(folder / RECORD, _MAX_RECORD)
        record = loads(content, str(folder))
    except (OSError, EngineDamagedError):
        return None
    if not isinstance(record, dict) or set(record) != {"key", "files"}:
        return None
    return record if all(isinstance(part, dict) for part in record.values()) else None


def _read(file: Path, most: int) -> bytes:
    with _own(file) as descriptor:
        return os.read(descriptor, most)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with _own(file) as descriptor:
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _own(file: Path) -> Iterator[int]:
    """A descriptor of a regular file that nobody else can write.

    Raises:
        OSError: it is none, or not there.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(file, flags | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or others_write(found):
            raise OSError(errno.EPERM, "not a file of this user alone", str(file))
        yield descriptor
    finally:
        os.close(descriptor)


def _raise_if_full(folder: Path) -> None:
    """Raises OSError if not even a little more can be written."""
    probe = folder / ".probe"
    try:
        write_through(probe, [bytes(_CHUNK)])
    finally:
        probe.unlink(missing_ok=True)
