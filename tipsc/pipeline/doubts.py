"""What makes the figures of a build doubtful, told before hours are spent on it."""

from __future__ import annotations

from tipsc.pipeline.original import Original
from tipsc.train import Data

FEW = 100  # examples: below, one of them is more than a point of accuracy
CHANCE = 1.5  # times the accuracy of always naming the commonest class


def doubts(data: Data, original: Original | None) -> list[str]:
    """Sentences; none if there is nothing to doubt.

    Args:
        original: the plain model's score, if there is one.
    """
    found = []
    for name, use in (("validation", "paths are chosen"), ("test", "accuracies are reported")):
        count = len(getattr(data, name))
        if count < FEW:
            found.append(
                f"{use} by {count} {name} examples, of which one is {100 / count:.1f} points of "
                "accuracy: give more"
            )
    if original is not None and original.accuracy < CHANCE * _commonest(data):
        found.append(
            f"the original is right on {original.accuracy:.1%} of the test examples, little more "
            "than chance: see that its trained weights are loaded, and that labels and inputs are "
            "those that it was trained with"
        )
    return found


def _commonest(data: Data) -> float:
    """Accuracy of always naming the class that the test examples have most often."""
    targets = data.test.targets
    return float(targets.bincount().max()) / len(targets)
