"""How a quality is shown: the heading of its column, its name in a sentence, its figures."""

from __future__ import annotations

from dataclasses import dataclass

from tipsc.quality import SHARE, Quality
from tipsc.report.format import MISSING, percent, significant


@dataclass(frozen=True)
class Metric:
    """Words and figures of one measure.

    Attributes:
        heading: of a column, with the unit.
        name: in a sentence.
        sign: the unit, as it stands behind a figure.
        share: whether figures are per cent of it.
        lost: the unit of a difference.
    """

    heading: str
    name: str
    sign: str
    share: bool = True
    lost: str = "points"

    def number(self, quality: Quality) -> float:
        """As an axis has it."""
        return quality.value * (100.0 if self.share else 1.0)

    def figure(self, quality: Quality | None) -> str:
        """As a cell has it, without the sign."""
        if quality is None:
            return MISSING
        return percent(quality.value) if self.share else significant(quality.value, 4)


METRICS = {
    "accuracy": Metric("acc %", "accuracy", "%"),
    "agreement": Metric("agree %", "agreement with the original", "%"),
}


def metric_of(quality: Quality | None) -> Metric:
    """How a quality is shown; one that is not known stands for itself."""
    if quality is None:
        return Metric("quality", "quality", "")
    if quality.name in METRICS:
        return METRICS[quality.name]
    if quality.unit == SHARE:
        return Metric(f"{quality.name} %", quality.name, "%")
    heading = f"{quality.name} {quality.unit}".rstrip()
    return Metric(heading, quality.name, quality.unit, share=False, lost=quality.unit)
