"""Rows of the same test images: what is true, and below it what each path says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tipsc.report.html import Html, join, shape, tag
from tipsc.report.pictures.image import colour, embedded, photograph
from tipsc.report.svg import drawing

TRUTH = "truth"


def shots(
    images: np.ndarray | None,
    size: tuple[int, int],
    rows: Sequence[tuple[str, Sequence[Html]]],
    names: Sequence[tuple[int, str]],
) -> Html:
    """The rows, each under its caption, with a key of colours at the end.

    Args:
        images: (n, 1 or 3, H, W); None if the examples are no images.
        size: width and height that is drawn in.
        rows: a caption, and what is drawn over each image; the first row is the truth.
        names: what the colours mean.
    """
    width, height = size
    seen = [embedded(photograph(i), width, height, f"shot{n}") for n, i in enumerate(_some(images))]
    again = [shape("use", href=f"#shot{number}") for number in range(len(seen))]
    parts = []
    for number, (caption, over) in enumerate(rows):
        below = (seen if number == 0 else again) or [Html()] * len(over)
        drawn = [
            drawing(width, height, f"{caption}, example {place}", [image, marks])
            for place, (image, marks) in enumerate(zip(below, over, strict=True))
        ]
        parts += [tag("h3", caption), tag("div", *drawn, class_="shots")]
    return join([*parts, key(names)])


def key(names: Sequence[tuple[int, str]]) -> Html:
    """Colours and what they mean."""
    marks = [
        tag(
            "span",
            tag(
                "svg",
                shape("rect", x=3, y=1, width=16, height=12, fill=colour(number)),
                viewBox="0 0 22 14",
                aria_hidden="true",
            ),
            name,
        )
        for number, name in names
    ]
    return tag("div", *marks, class_="key")


def _some(images: np.ndarray | None) -> Sequence[np.ndarray]:
    return () if images is None else list(images)
