"""Stdout for results alone: what else prints there is shown on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_STDOUT, _STDERR = 1, 2


@contextlib.contextmanager
def stdout_on_stderr() -> Iterator[None]:
    """What the user's code and libraries print inside goes to stderr.

    That of Python and that of compiled libraries and child processes, which write to the file
    descriptor.
    """
    sys.stdout.flush()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a process without a stdout, or a stderr
            kept = os.dup(_STDOUT)
            stack.callback(os.close, kept)
            os.dup2(_STDERR, _STDOUT)
            stack.callback(os.dup2, kept, _STDOUT)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield
