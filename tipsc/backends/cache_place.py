"""Where finalised engines are kept, and whether anybody else could have written there.

What lies in a cache is run. So it is taken only from folders that nobody but this user and the
system's administrator can write or replace: the folder, and the folders that it lies in.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from tipsc.engine.strict import dumps

#: of a cache's folder: what it was made from and for, and the SHA-256 of each file
RECORD = "cache.json"
#: a folder, and for its owner alone
_PRIVATE = 0o700


def keyed_folder(engine: Path | None, key: Mapping[str, str]) -> Path | None:
    """Where the form for `key` is kept when the user names no folder; None: nowhere.

    ``<engine file>-cache/<digest of key>/`` beside the engine, if file and folder are this
    user's (or the administrator's) and nobody else can write there; else under the user's cache,
    ``$XDG_CACHE_HOME`` or ``~/.cache``. The parent of the result belongs to one engine file alone.
    """
    digest = hashlib.sha256(dumps(dict(key))).hexdigest()[:16]
    parents = []
    if engine is not None:
        engine = engine.resolve()
        if engine.is_file() and why_foreign(engine) is None:
            parents.append(engine.with_name(f"{engine.name}-cache"))
    user = _users_cache()
    if user is not None:
        place = hashlib.sha256(os.fsencode(engine)).hexdigest()[:16] if engine else ""
        parents.append(user / (f"{engine.name}-{place}" if engine else key["engine"]))
    for parent in parents:
        there = os.access(parent / digest / RECORD, os.R_OK)
        if _made_private(parent) and (there or os.access(parent, os.W_OK | os.X_OK)):
            return parent / digest
    return None


def why_foreign(place: Path) -> str | None:
    """A clause on who else could have written the file or folder `place`; None: nobody.

    Symbolic links are not followed. Where the system has no owners of files (Windows), None.
    """
    if not hasattr(os, "geteuid"):
        return None
    try:
        found = place.lstat()
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if found.st_uid not in (os.geteuid(), 0):
        return f"it belongs to the user with id {found.st_uid}, this process to {os.geteuid()}"
    if others_write(found):
        return f"others can write it (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def others_write(found: os.stat_result) -> bool:
    """Whether group or others may write; a group that is the user's own does not count."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _users_own_group(found.st_gid)


def _made_private(folder: Path) -> bool:
    """Makes `folder` and what is missing above it for this user alone; whether it is so."""
    if not _unreachable_for_others(folder):
        return False
    try:
        for missing in reversed([f for f in (folder, *folder.parents) if not f.exists()]):
            missing.mkdir(_PRIVATE, exist_ok=True)
        # Again: somebody else can have been the first to make one of them.
        return folder.is_dir() and _unreachable_for_others(folder)
    except OSError:
        return False


def _unreachable_for_others(folder: Path) -> bool:
    """Whether nobody else can write or replace `folder`, or one that it lies in."""
    if os.path.lexists(folder) and why_foreign(folder) is not None:
        return False
    for parent in folder.parents:
        if not os.path.lexists(parent) or why_foreign(parent) is None:
            continue
        found = parent.lstat()
        # As /tmp: all may put something there, and move only what is theirs.
        if not (found.st_mode & stat.S_ISVTX and found.st_uid in (os.geteuid(), 0)):
            return False
    return True


def _users_cache() -> Path | None:
    """The user's cache for tipsc; None for a user without a home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():  # others are to be ignored, says its specification
        return Path(named).resolve() / "tipsc"
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and the system does not know the user
        return None
    return (home / ".cache").resolve() / "tipsc" if home.is_absolute() else None


def _users_own_group(group: int) -> bool:
    """Whether the group is the private one that many systems give each user: of the same name."""
    import grp
    import pwd

    try:
        user, entry = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return (
        user.pw_gid == group
        and entry.gr_name == user.pw_name
        and set(entry.gr_mem) <= {user.pw_name}
    )
