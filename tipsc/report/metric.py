"""What the share of right answers is called: right by labels, or as the original model answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """Its names.

    Attributes:
        heading: of a column.
        name: in a sentence.
        key: in JSON documents.
    """

    heading: str
    name: str
    key: str


METRICS = {
    "accuracy": Metric("acc %", "accuracy", "accuracy"),
    "agreement": Metric("agree %", "agreement with the original", "agreement_with_original"),
}


def metric_of(name: str) -> Metric:
    """The metric that an engine's manifest names; one that is not known stands for itself."""
    return METRICS.get(name, Metric(f"{name} %", name, name))


def scores(name: str, share: float | None) -> dict[str, float | None]:
    """The share under its own key; ``accuracy`` is there always, null if it was not measured."""
    return {"accuracy": None} | {metric_of(name).key: share}
