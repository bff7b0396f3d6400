"""A process that does nothing but compute: other work on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: the core that a measurement of one thread is pinned to
CORE = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
_SPIN = "import os, sys\nos.sched_setaffinity(0, {core})\nprint(flush=True)\nwhile True: pass"

needs_schedstat = pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists() or not hasattr(os, "sched_setaffinity"),
    reason="this system does not tell how long a thread waited, or cannot pin one",
)


@contextmanager
def hog(core: int = CORE) -> Iterator[None]:
    """Another process spins on this core."""
    code = _SPIN.format(core={core})
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it runs
        try:
            yield
        finally:
            process.kill()
