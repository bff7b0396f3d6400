"""LiteRT writes some twenty lines for each model that it opens, and has no switch for that."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator

_CHATTER = re.compile(
    rb"(INFO|VERBOSE|WARNING): (\[\w+\.cc:\d+\]|Created TensorFlow)|\xe2\x94\x94 Could not load"
)
_LOCK = threading.RLock()  # a collected program may be closed inside another one's opening
_STDERR = 2


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Holds back what the process writes to stderr; then writes all but LiteRT's remarks.

    Its errors, and the lines of anyone else who writes meanwhile, come through, a little late (not
    if the process is killed inside).
    """
    with _LOCK, contextlib.ExitStack() as stack:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # the process has no stderr
            yield
            return
        stack.callback(os.close, kept)
        held = stack.enter_context(tempfile.TemporaryFile())
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)
            held.seek(0)
            for line in held:
                if not _CHATTER.match(line):
                    os.write(_STDERR, line)
