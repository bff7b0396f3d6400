"""A device-specific form of an engine, as a folder of files that is whole or not there.

The folder holds a record (what it was made from and for, and the SHA-256 of each file). It is
built under a temporary name and renamed. One process builds at a time; the others wait and use
what it built. A builder that is killed leaves a temporary folder, which the next one removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tipsc.engine.atomic import sync_folder, write_through
from tipsc.engine.strict import dumps, loads
from tipsc.errors import EngineDamagedError, EngineDeviceError, UsageError

try:
    import fcntl
except ImportError:  # no advisory locks on Windows: two builders there do the work twice
    fcntl = None  # type: ignore[assignment]

RECORD = "cache.json"

#: fills an empty folder with files
Build = Callable[[Path], None]


def keyed_folder(engine: Path | None, key: Mapping[str, str]) -> Path | None:
    """Where the form for `key` is kept when the user names no folder; None: nowhere writable.

    ``<engine file>-cache/<digest of key>/`` beside the engine, else under the user's cache. The
    parent of the result belongs to one engine file alone.
    """
    digest = hashlib.sha256(dumps(dict(key))).hexdigest()[:16]
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "tipsc"
    if engine is None:
        parents = [user / key["engine"]]
    else:
        engine = engine.resolve()
        place = hashlib.sha256(os.fsencode(engine)).hexdigest()[:16]
        parents = [engine.with_name(f"{engine.name}-cache"), user / f"{engine.name}-{place}"]
    for parent in parents:
        folder = parent / digest
        if (folder / RECORD).is_file() or _writable(parent):
            return folder
    return None


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
        UsageError: not `owned`, and the folder is no cache, or cannot be written.
    """
    folder = folder.absolute()
    if not owned:
        _refuse_foreign(folder, key)
    if is_sound(folder, key):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if is_sound(folder, key):  # another process built it meanwhile
                return folder
            prefix = f".{folder.name}.tmp-"
            for stale in folder.parent.glob(f"{prefix}*"):
                shutil.rmtree(stale, ignore_errors=True)
            fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
            try:
                build_into(fresh, key, build)
                if folder.exists():
                    folder.rename(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
                fresh.rename(folder)
                sync_folder(folder.parent)
                if owned:
                    _forget_older_engines(folder.parent, key["engine"])
            finally:
                for rest in folder.parent.glob(f"{prefix}*"):
                    shutil.rmtree(rest, ignore_errors=True)
    except OSError as error:
        raise UsageError(
            f"cannot keep the finalised engine: {error.strerror or error}",
            where=str(folder),
            fix="give a cache_dir that can be written",
        ) from error
    return folder


def build_into(folder: Path, key: Mapping[str, str], build: Build) -> None:
    """Let `build` fill the empty `folder`, then record what is there, durably."""
    build(folder)
    files = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        files[file.name] = _sha256(file)
    write_through(folder / RECORD, [dumps({"key": dict(key), "files": files})])
    sync_folder(folder)


def is_sound(folder: Path, key: Mapping[str, str]) -> bool:
    """Whether `folder` was made for `key` and each of its files has its recorded SHA-256."""
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
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
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
        record = loads((folder / RECORD).read_bytes(), str(folder))
    except (OSError, EngineDamagedError):
        return None
    if not isinstance(record, dict) or set(record) != {"key", "files"}:
        return None
    return record if all(isinstance(part, dict) for part in record.values()) else None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            return hashlib.sha256(b"").hexdigest()
        # Mapped rather than read: the pages are the ones that will be used, and none is copied.
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Held by one process at a time; the system lets go of it when a process dies."""
    with folder.with_name(f".{folder.name}.lock").open("ab") as stream:
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
