"""The water that flows through a pipe, hour by hour, as the package river has it: numpy alone.

1,268 hours of March to May 2022, given by Tecnojest s.r.l. Four times something was out of order:
water was cut off, or pumped.
"""

from __future__ import annotations

import csv
import importlib.util
from datetime import datetime
from pathlib import Path

import numpy as np

from tipsc.errors import MissingExtraError

WINDOW, AHEAD = 48, 6  # hours seen, and hours that are to be told
USUAL = (95.0, 110.0)  # l/s
MIDDLE, SPREAD = 102.3, 1.2  # l/s, of the usual hours


def series() -> tuple[list[datetime], np.ndarray]:
    """Times (UTC, without a zone), and litres a second (hours,) float32."""
    spec = importlib.util.find_spec("river")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "river is not installed: its series is the data of this example",
            fix="run: make water",
        )
    file = Path(spec.submodule_search_locations[0]) / "datasets" / "water-flow.csv"
    with file.open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    times = [datetime.fromisoformat(time) for time, _ in rows]
    utc = [time.replace(tzinfo=None) - (time.utcoffset() or time - time) for time in times]
    return utc, np.array([float(value) for _, value in rows], np.float32)


def whole(hours: list[datetime], start: int, count: int) -> bool:
    """Whether so many hours follow one another from there on: some days are missing."""
    end = start + count - 1
    return end < len(hours) and (hours[end] - hours[start]).total_seconds() == 3600 * (count - 1)


def usual(flow: np.ndarray) -> np.ndarray:
    """Which hours are in order."""
    return (flow > USUAL[0]) & (flow < USUAL[1])


def windowed(flow: np.ndarray) -> np.ndarray:
    """As the model takes them: in deviations, what is out of order cut off at eight."""
    return np.clip((flow - MIDDLE) / SPREAD, -8, 8).astype(np.float32)
