"""What the benchmarks of the chain share: a figure with its bar, a stopwatch, the machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured number, and the most it may be (None: no bar)."""

    name: str
    value: float
    unit: str
    bar: float | None = None


def best_of(rounds: int, call: Callable[[], Any]) -> float:
    """Seconds of the fastest of `rounds` calls."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def machine() -> dict[str, str]:
    import numpy
    import scipy

    model = platform.processor() or platform.machine()
    information = File("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if "model name" in line]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "cpu": model,
        "cpus": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
    }
