"""What the original of a converted model scores: the figure that its paths are held against."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from tipsc.elastic.looking import at_rest
from tipsc.engine.atomic import write_atomically
from tipsc.train import Split, accuracy

FILE = "original.json"


@dataclass(frozen=True)
class Original:
    """The plain model as it came.

    Attributes:
        accuracy: on the test examples that the engine's paths are scored on, 0..1.
        examples: how many these are.
        parameters: of the model.
    """

    accuracy: float
    examples: int
    parameters: int


def score_original(model: nn.Module, test: Split, limit: int) -> Original:
    """Runs the model on the first `limit` examples, in torch."""
    split = Split(test.inputs[:limit], test.targets[:limit])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with at_rest(model):
        return Original(accuracy(model, split), len(split), parameters)


def save_original(original: Original, folder: Path) -> None:
    """Writes it as JSON."""
    write_atomically(folder / FILE, [json.dumps(asdict(original)).encode()])


def load_original(folder: Path) -> Original:
    """The inverse of :func:`save_original`."""
    return Original(**json.loads((folder / FILE).read_text()))
