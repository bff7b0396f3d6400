"""Candidate paths: which to look at, and how right each is after calibration."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import torch

from tipsc.elastic import CostModel, Statistics, Supernet, extract
from tipsc.engine.atomic import write_atomically
from tipsc.paths import Path, SearchSpace
from tipsc.progress import Progress
from tipsc.train import Data, accuracy, calibrate

_DRAWS_PER_CANDIDATE = 8
_RECORDS, _STATISTICS = "candidates.json", "statistics.pt"


@dataclass(frozen=True)
class Candidate:
    """A path that could be shipped.

    Attributes:
        path: of the space.
        accuracy: on validation data after calibration, 0..1.
        macs, parameters: of the path.
        statistics: its calibration.
    """

    path: Path
    accuracy: float
    macs: int
    parameters: int
    statistics: Statistics


def draw_candidates(
    supernet: Supernet, count: int, generator: random.Random, progress: Progress
) -> list[Path]:
    """Paths spread evenly over the logarithm of their MACs, the extremes among them.

    All paths of a space that has no more than `count`; otherwise, from a larger uniform draw, the
    one nearest to each of `count` rungs of a ladder from the smallest to the largest.
    """
    space = supernet.space
    if space.size <= count:
        return list(space.enumerate())
    costs = CostModel(supernet)
    wanted = count * _DRAWS_PER_CANDIDATE
    drawn = {
        space.smallest: costs.of(space.smallest).macs,
        space.largest: costs.of(space.largest).macs,
    }
    for done in range(wanted):
        path = space.sample_options(generator)
        if path not in drawn:
            drawn[path] = costs.of(path).macs
        progress(done + 1, wanted, "drawing paths")
    low, high = (math.log(drawn[path]) for path in (space.smallest, space.largest))
    chosen = [space.smallest, space.largest]
    rest = {path: math.log(macs) for path, macs in drawn.items() if path not in chosen}
    for rung in range(1, count - 1):
        aim = low + (high - low) * rung / (count - 1)
        if rest:
            path = min(rest, key=lambda p: (abs(rest[p] - aim), p.id))
            chosen.append(path)
            del rest[path]
    return chosen[:count]


def assess(
    supernet: Supernet,
    paths: Sequence[Path],
    data: Data,
    calibration_images: int,
    progress: Progress,
) -> list[Candidate]:
    """Calibrates each path and measures its accuracy on validation data."""
    costs = CostModel(supernet)
    batches = data.calibration(calibration_images)
    candidates = []
    for done, path in enumerate(paths, 1):
        statistics = calibrate(supernet, path, batches)
        right = accuracy(extract(supernet, path, statistics), data.validation)
        cost = costs.of(path)
        candidates.append(Candidate(path, right, cost.macs, cost.parameters, statistics))
        progress(done, len(paths), f"path {path.id}: {right:.1%}")
    return candidates


def save_candidates(folder: FilePath, candidates: Sequence[Candidate]) -> None:
    """Writes them as JSON (for people) and their statistics as tensors."""
    records = [
        {
            "id": c.path.id,
            "options": dict(c.path.items),
            "accuracy": c.accuracy,
            "macs": c.macs,
            "parameters": c.parameters,
        }
        for c in candidates
    ]
    tensors = {
        c.path.id: {"mean": dict(c.statistics.mean), "variance": dict(c.statistics.variance)}
        for c in candidates
    }
    write_atomically(folder / _RECORDS, [json.dumps(records, indent=1).encode()])
    torch.save(tensors, folder / _STATISTICS)


def load_candidates(folder: FilePath, space: SearchSpace) -> list[Candidate]:
    """The inverse of :func:`save_candidates`."""
    records: list[dict[str, Any]] = json.loads((folder / _RECORDS).read_text())
    tensors = torch.load(folder / _STATISTICS, weights_only=True)
    candidates = []
    for record in records:
        path = space.path(record["options"])
        statistics = Statistics(path.id, **tensors[path.id])
        candidates.append(
            Candidate(
                path,
                float(record["accuracy"]),
                int(record["macs"]),
                int(record["parameters"]),
                statistics,
            )
        )
    return candidates
