"""What is left of an agent after it should be gone, and whether the next one works."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tipsc.device.client import Connection, connect


def processes_of(root: Path) -> list[int]:
    """Processes whose command names the agent's folder; clients and servers of a link do not."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.startswith(str(root).encode()) for word in words):
                found.append(int(folder.name))
    return found


def gone(root: Path) -> bool:
    """Whether all its processes end, within a generous time."""
    for _ in range(200):
        if not processes_of(root):
            return True
        time.sleep(0.05)
    return False


def works(url: str) -> bool:
    with connect(url) as device:
        return device.run("selftest", {"how": "nothing"}).result == "done"


def hang(device: Connection, act: Callable[[], None]) -> None:
    """Starts a job that hangs, and acts as soon as it runs."""
    device.run("selftest", {"how": "hang"}, timeout_s=60, progress=lambda *_: act())
