"""One process at a time finalises an engine; who waits says for whom, and not for ever."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tipsc.errors import UsageError

try:
    import fcntl
except ImportError:  # no advisory locks on Windows: two builders there do the work twice
    fcntl = None  # type: ignore[assignment]

#: seconds until a waiting process says so, and until it gives up
SAY_AFTER = 2.0
GIVE_UP_AFTER = 600.0
_POLL = 0.02


@contextlib.contextmanager
def locked(
    folder: Path, *, say_after: float = SAY_AFTER, give_up_after: float = GIVE_UP_AFTER
) -> Iterator[None]:
    """Holds the lock of `folder`, which lies beside it; it ends with the process that holds it.

    Args:
        folder: what is built; it need not exist, its parent must.
        say_after: seconds of waiting until a line goes to the log ``tipsc``.
        give_up_after: seconds.

    Raises:
        UsageError: another process held it all that time.
        OSError: the lock's file cannot be made.
    """
    file = folder.with_name(f".{folder.name}.lock")
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(file, flags, 0o600), "r+b", buffering=0) as stream:
        if fcntl is not None:
            _wait(stream, file, say_after, give_up_after)
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
        yield


def _wait(stream: IO[bytes], file: Path, say_after: float, give_up_after: float) -> None:
    began, said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - began
        if waited > give_up_after:
            raise UsageError(
                f"another process has held the cache's lock for {waited:.0f} s",
                where=str(file),
                got=_holder(stream),
                fix="end that process, or give another cache_dir",
            )
        if waited > say_after and not said:
            said = True
            logging.getLogger("tipsc").warning(
                "waiting for %s, which finalises the same engine (%s)", _holder(stream), file
            )
        time.sleep(_POLL)


def _holder(stream: IO[bytes]) -> str:
    stream.seek(0)
    written = stream.read(20)
    return f"process {int(written)}" if written.isdigit() else "an unknown process"
