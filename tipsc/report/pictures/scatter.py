"""Regression: what paths predict against what is true."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tipsc.pipeline.answers import Answers
from tipsc.report.data import Pictures
from tipsc.report.format import plural
from tipsc.report.html import Html, number, shape, tag
from tipsc.report.svg import Scale, drawing, line, linear, x_axis, y_axis
from tipsc.tasks.regression import Regression

_MOST = 500  # values of a path
_WIDTH, _HEIGHT = 330.0, 300.0


def scatter(task: Regression, answers: Answers, captions: Mapping[str, str]) -> Pictures | None:
    """None where outputs have another shape than targets."""
    if any(said.shape != answers.targets.shape for said in answers.outputs.values()):
        return None
    every = np.linspace(0, answers.targets.size - 1, min(_MOST, answers.targets.size)).astype(int)
    true = answers.targets.ravel()[every]
    said = {path: values.ravel()[every] for path, values in answers.outputs.items()}
    values = np.concatenate([true, *said.values()])
    low, high = float(values.min()), float(values.max())
    cards = [
        tag(
            "div",
            tag("h3", captions[path]),
            _card(true, found, low, high, task.unit),
            class_="card",
        )
        for path, found in said.items()
    ]
    return Pictures(
        "Predicted against true",
        f"{plural(len(true), 'value')} of the test set, as the engine predicts them; on the line "
        "they are right.",
        tag("div", *cards, class_="cards plots"),
    )


def _card(true: np.ndarray, said: np.ndarray, low: float, high: float, unit: str) -> Html:
    left, right, top, bottom = 44.0, _WIDTH - 6, 26.0, _HEIGHT - 40
    x = linear((low, high), left, right)
    y = linear((low, high), bottom, top)
    titles = [", ".join(filter(None, [name, unit])) for name in ("true", "predicted")]
    parts = x_axis(x, top, bottom, titles[0], 4) + y_axis(y, left, right, titles[1], 4)
    parts.append(line(x(low), y(low), x(high), y(high), "flat"))
    parts.append(shape("path", d=_dots(x, y, true, said), class_="dots"))
    return drawing(_WIDTH, _HEIGHT, f"{titles[1]} against {titles[0]}", parts)


def _dots(x: Scale, y: Scale, true: np.ndarray, said: np.ndarray) -> str:
    """Lines without length, which round caps make to dots: far shorter than as many circles."""
    return "".join(
        f"M{number(x(a))} {number(y(b))}h0"
        for a, b in zip(true.tolist(), said.tolist(), strict=True)
    )
