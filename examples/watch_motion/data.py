"""Motion of a smartwatch during seven physiotherapy exercises (package seglearn).

140 recordings of 10 people, six axes at 50 Hz. People are split, not recordings: whoever is
tested on was never seen in training.
"""

from __future__ import annotations

import numpy as np
import torch

from tipsc.errors import MissingExtraError
from tipsc.tasks import Classification
from tipsc.train import Data, Split

WINDOW, STEP = 128, 32  # samples: 2.6 s, and a new window every 0.6 s
VALIDATION, TEST = (9,), (3, 10)  # subjects


def load() -> Data:
    """Windows (6, 128) of the recordings, standardised by the training subjects."""
    try:
        from seglearn.datasets import load_watch
    except ImportError as error:
        raise MissingExtraError(
            "the watch-motion data are in the package seglearn, which is not installed",
            fix="run: pip install seglearn==1.2.5 pandas",
        ) from error
    watch = load_watch()
    subjects = np.asarray(watch["subject"]).astype(int)
    held = {*VALIDATION, *TEST}
    everyone = set(subjects.tolist())
    train = windows(watch, subjects, everyone - held)
    mean, deviation = train[0].mean((0, 2), keepdims=True), train[0].std((0, 2), keepdims=True)

    def split(part: tuple[np.ndarray, np.ndarray]) -> Split:
        inputs = ((part[0] - mean) / deviation).astype(np.float32)
        return Split(torch.from_numpy(inputs), torch.from_numpy(part[1]))

    return Data(
        train=split(train),
        validation=split(windows(watch, subjects, set(VALIDATION))),
        test=split(windows(watch, subjects, set(TEST))),
        task=Classification(tuple(watch["y_labels"])),
    )


def windows(watch: dict, subjects: np.ndarray, of: set[int]) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping windows (n, 6, WINDOW) of some subjects' recordings, and their exercises."""
    cut, labels = [], []
    for series, label, subject in zip(watch["X"], watch["y"], subjects, strict=True):
        if subject in of:
            for start in range(0, len(series) - WINDOW + 1, STEP):
                cut.append(series[start : start + WINDOW].T)
                labels.append(int(label))
    return np.stack(cut), np.asarray(labels, dtype=np.int64)
