"""Detection: the boxes of some test images, true ones and those that paths find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tipsc.pipeline.answers import Answers
from tipsc.report.data import Pictures
from tipsc.report.html import Html, join, shape
from tipsc.report.pictures.image import colour, pictures_in
from tipsc.report.pictures.shots import TRUTH, shots
from tipsc.tasks.detection import Detection, decoded, parts_of

_SURE = 0.3  # boxes below are not drawn

Box = tuple[Sequence[float], int, float | None]
"""Corners, class number, and its score; the truth has none."""


def boxes(task: Detection, answers: Answers, captions: Mapping[str, str]) -> Pictures | None:
    """None where no input is an image."""
    images = pictures_in(answers.inputs)
    if images is None:
        return None
    count = len(images)
    rows = [(TRUTH, _true(answers.targets, count))]
    rows += [
        (captions[path], _found(said, count, task.overlap))
        for path, said in answers.outputs.items()
    ]
    height, width = images.shape[2:]
    numbers = sorted({number for _, row in rows for found in row for _, number, _ in found})
    drawn = [(name, [_drawn(found, task.classes) for found in row]) for name, row in rows]
    return Pictures(
        "Boxes on test images",
        f"As the engine finds them; scores of {_SURE:g} and more, one box where several of a "
        "class overlap.",
        shots(images, (width, height), drawn, [(n, task.classes[n]) for n in numbers]),
    )


def _true(targets: Any, count: int) -> list[list[Box]]:
    pairs = zip(targets["boxes"][:count].tolist(), targets["labels"][:count].tolist(), strict=True)
    return [
        [(box, name, None) for box, name in zip(places, names, strict=True) if name >= 0]
        for places, names in pairs
    ]


def _found(said: Any, count: int, overlap: float) -> list[list[Box]]:
    few = tuple(torch.from_numpy(part[:count]) for part in parts_of(said))
    return [
        list(zip(places.tolist(), names.tolist(), scores.tolist(), strict=True))
        for places, scores, names in decoded(few, _SURE, overlap)
    ]


def _drawn(found: Sequence[Box], classes: Sequence[str]) -> Html:
    return join([_rectangle(*box, classes[box[1]]) for box in found])


def _rectangle(box: Sequence[float], number: int, score: float | None, name: str) -> Html:
    x1, y1, x2, y2 = box
    return shape(
        "rect",
        name if score is None else f"{name} {score:.2f}",
        x=float(x1),
        y=float(y1),
        width=max(float(x2 - x1), 0.0),
        height=max(float(y2 - y1), 0.0),
        class_="box",
        stroke=colour(number),
    )
