"""Every way in which a job can fail, on purpose: what proves that the agent outlives it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def misbehave(
    arguments: Mapping[str, Any],
    blobs: Mapping[str, Path],
    out: Path,
    progress: Callable[..., None],
) -> str:
    """Does what ``arguments["how"]`` says: crash, memory, hang, print, raise or nothing."""
    how = arguments["how"]
    if how == "crash":
        ctypes.string_at(0)
    elif how == "memory":
        held = []
        while True:
            held.append(bytearray(64 << 20))
    elif how == "hang":
        progress(0.0, 0.0)
        time.sleep(3600)
    elif how == "print":
        print("a library that prints")
        ctypes.CDLL(None).puts(b"and one that does so in C")
    elif how == "raise":
        raise ValueError("on purpose")
    return "done"
