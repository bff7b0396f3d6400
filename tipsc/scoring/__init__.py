"""The story of a supernet's scores: topology alone, and with the costs of one or two devices."""

from tipsc.scoring.data import (
    Agreement,
    ChoiceScore,
    DeviceScore,
    FeatureMapScore,
    OptionShares,
    PathScore,
    Scores,
    TopPaths,
)
from tipsc.scoring.presence import Presence, presence_of
from tipsc.scoring.score import score

__all__ = [
    "Agreement",
    "ChoiceScore",
    "DeviceScore",
    "FeatureMapScore",
    "OptionShares",
    "PathScore",
    "Presence",
    "Scores",
    "TopPaths",
    "presence_of",
    "score",
]
