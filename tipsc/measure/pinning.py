"""Pinning: which cores to measure on, and keeping a thread there while it is measured.

An unpinned process moves between cores, and its latencies spread by 5-6 % where a pinned one's
lowest decile spreads by 1 %. Not every system can pin; where it cannot, nothing happens and the
profile says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tipsc.measure.facts import max_frequency_mhz

Pin = Literal["fastest", "none"] | tuple[int, ...]


def allowed_cores() -> tuple[int, ...]:
    """The cores that this thread may run on, or () where the system does not tell."""
    try:
        return tuple(sorted(os.sched_getaffinity(0)))
    except (AttributeError, OSError):
        return ()


def select_cores(pin: Pin, threads: int, root: Path = Path("/")) -> tuple[int, ...]:
    """The cores that a policy means here: () for no pinning.

    ``fastest`` takes the `threads` allowed cores with the highest maximum frequency; among equal
    ones the highest numbers, because core 0 usually serves the interrupts.
    """
    if pin == "none":
        return ()
    if pin != "fastest":
        return tuple(pin)
    ranked = sorted(allowed_cores(), key=lambda core: (max_frequency_mhz(core, root) or 0.0, core))
    return tuple(sorted(ranked[-threads:]))


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Keep the calling thread on `cores`; yields the cores it is held to, () if it is not.

    Threads started inside inherit it: with more than one thread, open sessions inside too. The
    earlier affinity comes back at the end, whatever happens.
    """
    before = allowed_cores()
    if not cores or not before:
        yield ()
        return
    try:
        os.sched_setaffinity(0, cores)
    except (OSError, ValueError):  # a core that does not exist or is not allowed
        yield ()
        return
    try:
        yield tuple(sorted(cores))
    finally:
        os.sched_setaffinity(0, before)
