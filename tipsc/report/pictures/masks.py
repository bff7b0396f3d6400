"""Segmentation: the classes of places of some test images, true ones and what paths say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tipsc.pipeline.answers import Answers
from tipsc.report.data import Pictures
from tipsc.report.html import Html
from tipsc.report.pictures.image import areas, embedded, pictures_in
from tipsc.report.pictures.shots import TRUTH, shots
from tipsc.tasks.segmentation import Segmentation

_MOST = 6  # examples


def masks(task: Segmentation, answers: Answers, captions: Mapping[str, str]) -> Pictures | None:
    """None where the places are no images."""
    if answers.targets.ndim != 3:
        return None
    images = pictures_in(answers.inputs)
    count = min(_MOST, len(answers.targets)) if images is None else len(images)
    truth = answers.targets[:count]
    said = {path: scores[:count].argmax(1) for path, scores in answers.outputs.items()}
    known = truth[truth != task.ignore]
    if not known.size:
        return None
    commonest = int(np.bincount(known).argmax())
    clear = (commonest, task.ignore)
    rows = [(TRUTH, _drawn(truth, clear))]
    rows += [(captions[path], _drawn(numbers, clear)) for path, numbers in said.items()]
    numbers = sorted({int(n) for part in (truth, *said.values()) for n in np.unique(part)})
    names = [(n, task.classes[n]) for n in numbers if n not in clear]
    height, width = truth.shape[1:]
    return Pictures(
        "Classes on test images",
        f"As the engine says them. Not coloured: {task.classes[commonest]}, the commonest class.",
        shots(images, (width, height), rows, names),
    )


def _drawn(numbers: np.ndarray, clear: Sequence[int]) -> list[Html]:
    height, width = numbers.shape[1:]
    return [embedded(areas(example, clear), width, height) for example in numbers]
