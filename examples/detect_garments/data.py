"""Which garments are where: scenes with a box and a class for each garment."""

from __future__ import annotations

from scenes import CLASSES, compose  # the file beside this one

from tipsc.tasks.detection import Detection
from tipsc.train import Data, Split

COUNTS = {"train": 4000, "validation": 300, "test": 500}


def load() -> Data:
    """Scenes (N, 1, 64, 64) with boxes (N, 4, 4) in pixels and labels (N, 4), -1: none."""
    parts = {}
    for seed, (part, count) in enumerate(COUNTS.items()):
        scenes = compose(part, count, seed)
        parts[part] = Split(scenes.images, {"boxes": scenes.boxes, "labels": scenes.labels})
    return Data(**parts, task=Detection(CLASSES))
