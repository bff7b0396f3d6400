"""Which garment each pixel is of: the scenes of the detector's example with their masks."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "detect_garments"))

from scenes import CLASSES, compose

from tipsc.tasks.segmentation import Segmentation
from tipsc.train import Data, Split

COUNTS = {"train": 3000, "validation": 400, "test": 400}
PLACES = ("wall", *CLASSES)


def load() -> Data:
    """Scenes (N, 1, 64, 64) with the number of a class for each pixel (N, 64, 64)."""
    parts = {}
    for seed, (part, count) in enumerate(COUNTS.items()):
        scenes = compose(part, count, seed)
        parts[part] = Split(scenes.images, scenes.masks)
    return Data(**parts, task=Segmentation(PLACES))
