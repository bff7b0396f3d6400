"""Candidate paths: which to look at, and how good each is after calibration."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch

from tipsc.elastic import CostModel, Statistics, Supernet, extract
from tipsc.engine.atomic import write_atomically
from tipsc.factors import Additive
from tipsc.paths import Path, SearchSpace
from tipsc.progress import Progress
from tipsc.quality import Quality
from tipsc.train import Data, calibrate, quality_of

_DRAWS_PER_PATH = 8
_RECORDS, _STATISTICS = "candidates.json", "statistics.pt"
_OWN = ("mean", "variance", "ratio", "own")  # of a path's statistics


@dataclass(frozen=True)
class Candidate:
    """A path that could be shipped.

    Attributes:
        path: of the space.
        quality: on validation data after calibration; None where nobody asked for it.
        macs, parameters: of the path.
        statistics: its calibration, and what else it has for itself.
    """

    path: Path
    quality: Quality | None
    macs: int
    parameters: int
    statistics: Statistics

    @property
    def judged(self) -> Quality:
        """The quality of a candidate that was evaluated."""
        assert self.quality is not None, self.path.id
        return self.quality


def draw_spread(
    space: SearchSpace, macs: Additive, count: int, generator: random.Random
) -> list[Path]:
    """Paths spread evenly over the logarithm of their MACs, the extremes among them.

    All paths of a space that has no more than `count`; otherwise, from a larger uniform draw, the
    one nearest to each of `count` rungs of a ladder from the smallest to the largest.
    """
    if space.size <= count:
        return list(space.enumerate())
    ends = [space.smallest, space.largest]
    drawn = {space.sample_options(generator) for _ in range(count * _DRAWS_PER_PATH)}
    paths = [*ends, *sorted(drawn - set(ends), key=lambda path: path.id)]
    logs = dict(zip(paths, np.log(macs.of_many(paths)).tolist(), strict=True))
    low, high = (logs.pop(path) for path in ends)
    chosen = ends
    for rung in range(1, count - 1):
        aim = low + (high - low) * rung / (count - 1)
        if logs:
            path = min(logs, key=lambda p: (abs(logs[p] - aim), p.id))
            chosen.append(path)
            del logs[path]
    return chosen[:count]


def assess(
    supernet: Supernet,
    paths: Sequence[Path],
    data: Data,
    calibration_images: int,
    progress: Progress,
    validation_images: int | None = None,
    *,
    own_scale: bool = False,
) -> list[Candidate]:
    """Calibrates each path and measures its quality on validation data.

    Args:
        validation_images: how many; the same ones for all paths. All if not given.
        own_scale: with variances of its own as well, as before there are shared ones.
    """
    costs = CostModel(supernet)
    batches = data.calibration(calibration_images)
    candidates = []
    for done, path in enumerate(paths, 1):
        statistics = calibrate(supernet, path, batches, own_scale=own_scale)
        module = extract(supernet, path, statistics)
        quality = quality_of(module, data.validation, data.judged_by, most=validation_images)
        cost = costs.of(path)
        candidates.append(Candidate(path, quality, cost.macs, cost.parameters, statistics))
        progress(done, len(paths), f"path {path.id}: {quality.amount}")
    return candidates


def save_candidates(folder: FilePath, candidates: Sequence[Candidate]) -> None:
    """Writes them as JSON (for people) and their statistics as tensors."""
    records = [
        {
            "id": c.path.id,
            "options": dict(c.path.items),
            "quality": asdict(c.judged),
            "macs": c.macs,
            "parameters": c.parameters,
        }
        for c in candidates
    ]
    tensors = {
        c.path.id: {name: dict(getattr(c.statistics, name)) for name in _OWN} for c in candidates
    }
    write_atomically(folder / _RECORDS, [json.dumps(records, indent=1).encode()])
    with (folder / _STATISTICS).open("wb") as stream:  # by name, torch hides why it fails
        torch.save(tensors, stream)


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
                Quality(**record["quality"]),
                int(record["macs"]),
                int(record["parameters"]),
                statistics,
            )
        )
    return candidates
