"""How good a path is, as its task judges it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from tipsc.elastic import Supernet, extract
from tipsc.paths import Path
from tipsc.tasks import Quality, Task
from tipsc.train.calibrate import measure
from tipsc.train.data import Data, Split, placed


def quality_of(module: nn.Module, split: Split, task: Task, batch_size: int = 100) -> Quality:
    """Of the module's outputs, over all examples."""
    tally = task.score()
    device = next((p.device for p in module.parameters()), split.inputs.device)
    with torch.inference_mode():
        for inputs, targets in split.batches(batch_size):
            tally.add(module(placed(inputs, device)), targets.to(device))
    return tally.quality


def evaluate(
    supernet: Supernet,
    paths: Iterable[Path],
    data: Data,
    *,
    split: str = "validation",
    own_scale: bool = False,
    images: int = 1024,
    batch_size: int = 128,
) -> dict[str, Quality]:
    """Quality of each path after calibration, by path id.

    Args:
        split: "train", "validation" or "test".
        own_scale: give each path variances, and thus weights, of its own.
        images: of train, for calibration.
    """
    batches = data.calibration(images, batch_size)
    chosen: Split = getattr(data, split)
    found = {}
    for path in paths:
        module = extract(supernet, path)
        measure(supernet, module, path, batches, own_scale=own_scale)
        found[path.id] = quality_of(module, chosen, data.task, batch_size)
    return found
