"""Classification: which classes the fastest and the best path take for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tipsc.pipeline.answers import Answers
from tipsc.report.data import Pictures
from tipsc.report.format import plural, shortened
from tipsc.report.html import Html, shape, tag
from tipsc.report.svg import LETTER, drawing, text
from tipsc.tasks.classification import Classification
from tipsc.tasks.multilabel import MultiLabel

_MOST = 20  # classes; more are no table that could be read
_SHADES = 7  # of the style sheet
_WIDTH = 500.0
_LONGEST = 14  # letters of a class's name


def confusion(
    task: Classification, answers: Answers, captions: Mapping[str, str]
) -> Pictures | None:
    """None for more than 20 classes."""
    count = len(task.classes)
    if count > _MOST:
        return None
    truth = "are true" if task.labelled else "the original says"
    tables = {}
    for path, scores in _ends(answers).items():
        pairs = answers.targets * count + scores.argmax(-1)
        tables[path] = np.bincount(pairs, minlength=count**2).reshape(count, count)
    return _pictures(
        "What is taken for what",
        f"Rows are the classes that {truth}, columns those that the engine says, in per cent of a "
        f"row. {plural(len(answers.targets), 'test example')}.",
        tables,
        {path: table.sum(1, keepdims=True) for path, table in tables.items()},
        (task.classes, task.classes),
        captions,
    )


def labels_found(
    task: MultiLabel, answers: Answers, captions: Mapping[str, str]
) -> Pictures | None:
    """None for more than 20 labels."""
    if len(task.labels) > _MOST:
        return None
    there = answers.targets.astype(bool)
    tables, totals = {}, {}
    for path, scores in _ends(answers).items():
        said = scores > 0
        columns = (there & said, there & ~said, ~there & said)
        tables[path] = np.stack([column.sum(0) for column in columns], 1)
        totals[path] = np.stack([there.sum(0), there.sum(0), (~there).sum(0)], 1)
    return _pictures(
        "Labels found and missed",
        "Per cent of the test examples that have the label; of a false alarm, of those that do "
        f"not. {plural(len(there), 'example')}.",
        tables,
        totals,
        (task.labels, ("found", "missed", "false alarm")),
        captions,
    )


def _ends(answers: Answers) -> dict[str, np.ndarray]:
    """The fastest path and the best."""
    paths = list(answers.outputs)
    return {path: answers.outputs[path] for path in (paths[0], paths[-1])}


def _pictures(
    title: str,
    note: str,
    tables: Mapping[str, np.ndarray],
    totals: Mapping[str, np.ndarray],
    names: tuple[Sequence[str], Sequence[str]],
    captions: Mapping[str, str],
) -> Pictures:
    drawn = [
        tag("div", tag("h3", captions[path]), _table(table, totals[path], *names))
        for path, table in tables.items()
    ]
    return Pictures(title, note, tag("div", *drawn, class_="two"))


def _table(
    counts: np.ndarray, totals: np.ndarray, rows: Sequence[str], columns: Sequence[str]
) -> Html:
    left = LETTER * min(_LONGEST, max(map(len, rows))) + 12
    top = LETTER * min(_LONGEST, max(map(len, columns))) + 12
    side = min((_WIDTH - left) / len(columns), 44.0)
    shares = counts / np.maximum(totals, 1)
    parts = []
    for r, row in enumerate(rows):
        y = top + r * side
        parts.append(text(left - 6, y + side / 2 + 4, shortened(row, _LONGEST), anchor="end"))
        for c, column in enumerate(columns):
            about = f"{row}, {column}\n{plural(int(counts[r, c]), 'example')}"
            parts += _cell(left + c * side, y, side, float(shares[r, c]), about)
    for c, column in enumerate(columns):
        x = left + c * side + side / 2 + 4
        parts.append(
            tag(
                "text",
                shortened(column, _LONGEST),
                x=x,
                y=top - 6,
                transform=f"rotate(-90 {x:.1f} {top - 6:.1f})",
            )
        )
    return drawing(_WIDTH, top + len(rows) * side + 4, "a confusion matrix", parts)


def _cell(x: float, y: float, side: float, share: float, about: str) -> list[Html]:
    shade = "none" if share < 0.005 else f"t{min(int(share * _SHADES), _SHADES - 1)}"
    parts = [shape("rect", about, x=x, y=y, width=side - 1, height=side - 1, class_=shade)]
    if share >= 0.005:
        kind = "cell over" if share > 0.5 else "cell"
        middle = (x + side / 2 - 0.5, y + side / 2 + 3)
        parts.append(text(*middle, f"{100 * share:.0f}", anchor="middle", kind=kind))
    return parts
