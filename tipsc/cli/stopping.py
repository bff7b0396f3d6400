"""A command that another program ends cleans up as one that Ctrl-C ends."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


def stop_on_sigterm() -> None:
    """Makes SIGTERM an exception of the main thread of this process, not of what it forks."""
    if threading.current_thread() is not threading.main_thread():  # called by another program
        return
    own = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
