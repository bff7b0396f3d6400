"""What the system lacks or refuses: a full disk, rights, memory. No defect, and nobody's mistake.

It arises anywhere, in Python as an OSError, in a library as a RuntimeError of its own words, and
may have been wrapped since. Here alone it is recognised, and said with what to do about it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SystemProblem:
    """A clause of what the system lacks or refuses, the file or folder concerned, what to do."""

    what: str
    where: str | None
    fix: str


_MEMORY = "close other programs, use a machine with more, or less of it: smaller batches, less data"
_SPACE = "free some there, or work in another place"
#: what the system is short of: it explains whatever error it led to
_SCARCE = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("the user's share of the disk (quota) is used up", _SPACE),
    errno.EFBIG: (
        "a file may not become so large here",
        "raise the limit (`ulimit -f`), or use a file system that takes larger files",
    ),
    errno.EROFS: ("the file system is read-only", "work in another place, or make it writable"),
    errno.EIO: (
        "the disk cannot be read or written",
        "look at the system's log: it may break",
    ),
    errno.EMFILE: (
        "this process may open no more files",
        "raise the limit: `ulimit -n 4096` before the command",
    ),
    errno.ENFILE: ("the system has no more files to open", "close other programs"),
    errno.ENOMEM: ("there is not enough memory", _MEMORY),
}
_REFUSED = {
    errno.EACCES: "change the rights there, or work in another place",
    errno.EPERM: "change the rights there, or work in another place",
    errno.ENAMETOOLONG: "use shorter names",
}
# What libraries say of the same, in exceptions that carry no number.
_SAID = (
    ("no space left on device", errno.ENOSPC),
    ("disk quota exceeded", errno.EDQUOT),
    ("file write failed", errno.ENOSPC),  # torch, which does not tell why
    ("iostream error", errno.ENOSPC),  # torch as well
    ("failed to write external initializers", errno.ENOSPC),  # ONNX Runtime
    ("requested and", errno.ENOSPC),  # NumPy: "8 requested and 4 written"
    ("too many open files", errno.EMFILE),
    ("not enough memory: you tried to allocate", errno.ENOMEM),
    ("can't allocate memory", errno.ENOMEM),
    ("cannot allocate memory", errno.ENOMEM),
    ("failed to allocate memory", errno.ENOMEM),
    ("out of memory", errno.ENOMEM),
    ("bad_alloc", errno.ENOMEM),
    ("bad allocation", errno.ENOMEM),
)


def shortage(error: BaseException) -> SystemProblem | None:
    """What the system is short of, if that is behind an error, at whatever depth."""
    for link in _chain(error):
        number = _number(link)
        if number in _SCARCE:
            what, fix = _SCARCE[number]
            return SystemProblem(what, _place(link), fix)
    return None


def refusal(error: BaseException) -> SystemProblem | None:
    """What the system says, if the error is one of its own."""
    if not isinstance(error, OSError) or not error.strerror:
        return None
    what = f"{error.strerror[:1].lower()}{error.strerror[1:]}"
    place = _place(error)
    otherwise = (
        "look at this path, and at the space and rights there"
        if place
        else "look at what the system allows here; --debug shows where it arose"
    )
    return SystemProblem(what, place, _REFUSED.get(error.errno or 0, otherwise))


@contextlib.contextmanager
def naming(place: Path) -> Iterator[None]:
    """What the system refuses inside names this file or folder, if it names none itself.

    Raises:
        OSError: also in place of a library's exception that means one.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(place)
            raise
        numbers = [number for link in _chain(error) if (number := _number(link)) in _SCARCE]
        if not numbers or numbers[0] == errno.ENOMEM:
            raise
        raise OSError(numbers[0], os.strerror(numbers[0]), str(place)) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised from."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _number(error: BaseException) -> int | None:
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if not isinstance(error, OSError | RuntimeError) and type(error).__module__ == "builtins":
        return None
    said = str(error).lower()
    return next((number for sign, number in _SAID if sign in said), None)


def _place(error: BaseException) -> str | None:
    name = getattr(error, "filename", None)
    return os.fsdecode(name) if isinstance(name, str | bytes) else None
