"""Files that a user names, opened so that no name can make a command wait for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Without the first, opening a pipe waits for a writer; the second is of Windows.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(file: Path) -> BinaryIO:
    """Opens a file for reading bytes.

    Raises:
        OSError: it is missing, may not be read, or is no regular file but a folder, a pipe or a
            device; ``strerror`` says which.
    """
    try:
        descriptor = os.open(file, _FLAGS)
    except ValueError as error:  # Python's own, before the system sees the name
        raise OSError(errno.EINVAL, "Its name has a zero byte", str(file)) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
        for is_such, kind in _KINDS:
            if is_such(mode):
                raise OSError(errno.EINVAL, f"It is {kind}, not a file", str(file))
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise
