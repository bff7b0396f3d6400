"""How chains decide a choice, as a small bar chart: a bar for each option and device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tipsc.report.format import shortened, significant
from tipsc.report.html import Html, shape, tag
from tipsc.report.svg import LETTER, drawing, line, text

if TYPE_CHECKING:
    from tipsc.scoring.data import ChoiceScore

WIDTH = 320.0
BAR, GAP = 9.0, 4.0
_LEFT, _RIGHT, _TOP = 40.0, 40.0, 30.0


def marginals(choice: ChoiceScore) -> Html:
    """Shares of the options where the choice is active; a line across marks price 0."""
    group = BAR * len(choice.devices) + GAP * (len(choice.devices) - 1)
    full = WIDTH - _LEFT - _RIGHT
    parts: list[Html] = []
    y = _TOP
    for option, flat in choice.unpriced.shares.items():
        parts.append(text(_LEFT - 7, y + group / 2 + 4, str(option), anchor="end", kind="tick"))
        for number, (name, shares) in enumerate(choice.devices.items()):
            top, share = y + number * (BAR + GAP), shares.shares[option]
            parts.append(
                shape(
                    "rect",
                    f"{choice.name} = {option}\n{name}: {100 * share:.1f} %, "
                    f"active with {100 * shares.active:.0f} %\nprice 0: {100 * flat:.1f} %",
                    x=_LEFT, y=top, width=max(full * share, 1.0), height=BAR, rx=1.5,
                    class_=f"d{number}",
                )
            )  # fmt: skip
            label = f"{100 * share:.0f} %"
            parts.append(text(WIDTH, top + BAR, label, anchor="end", kind="tick"))
        parts.append(line(_LEFT + full * flat, y - 2, _LEFT + full * flat, y + group + 2, "flat"))
        y += group + 11.0
    title = text(0.0, 13.0, shortened(choice.name, int((WIDTH - 60) / LETTER)), kind="name")
    differ = text(WIDTH, 13.0, significant(choice.difference, 2), anchor="end", kind="axis")
    label = f"Shares of the options of {choice.name}"
    return tag("div", drawing(WIDTH, y, label, [title, differ, *parts]), class_="card")
