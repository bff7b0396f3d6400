"""What the next hours bring: windows of the series, and the hours after each."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import torch
from series import AHEAD, MIDDLE, SPREAD, WINDOW, series, usual, whole, windowed

from tipsc.tasks.regression import Regression
from tipsc.train import Data, Split

PARTS = {  # by the last hour of a window; the windows of a part begin after the part before
    "train": (datetime.min, datetime(2022, 4, 20)),
    "validation": (datetime(2022, 4, 20), datetime(2022, 5, 2)),
    "test": (datetime(2022, 5, 2), datetime.max),
}
COPIES, NOISE = 8, 0.3  # of each training window, and how far they are moved, in deviations


def load() -> Data:
    """Windows (N, 1, WINDOW) in deviations; the next hours (N, AHEAD) in l/s from the mean.

    Hours that are out of order are no part of what is learned or judged.
    """
    hours, flow = series()
    length, parts = WINDOW + AHEAD, {}
    for part, (begin, end) in PARTS.items():
        starts = [
            start
            for start in range(len(flow) - length + 1)
            if whole(hours, start, length)
            and usual(flow[start : start + length]).all()
            and hours[start] >= begin
            and hours[start + length - 1] < end
        ]
        parts[part] = _split(flow, starts)
    parts["train"] = _moved(parts["train"])
    return Data(**parts, task=Regression("mae", unit="l/s"))


def _split(flow: np.ndarray, starts: list[int]) -> Split:
    inputs = np.stack([windowed(flow[s : s + WINDOW])[None] for s in starts])
    targets = np.stack([flow[s + WINDOW : s + WINDOW + AHEAD] - MIDDLE for s in starts])
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets.astype(np.float32)))


def _moved(split: Split) -> Split:
    """Copies with noise, and all of a window a little up or down."""
    chance = torch.Generator().manual_seed(0)
    inputs = split.inputs.repeat(COPIES, 1, 1)
    inputs = inputs + NOISE * torch.randn(inputs.shape, generator=chance)
    moved = NOISE * torch.randn(len(inputs), 1, generator=chance)
    return Split(inputs + moved[:, :, None], split.targets.repeat(COPIES, 1) + SPREAD * moved)
