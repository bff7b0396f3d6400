"""How often a path is right."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from tipsc.elastic import Supernet, extract
from tipsc.paths import Path
from tipsc.train.calibrate import measure
from tipsc.train.data import Data, Split, placed


def accuracy(module: nn.Module, split: Split, batch_size: int = 100) -> float:
    """Share of examples whose largest logit is the target's, from 0 to 1."""
    right = 0
    device = next((p.device for p in module.parameters()), split.inputs.device)
    with torch.inference_mode():
        for inputs, targets in split.batches(batch_size):
            guesses = module(placed(inputs, device)).argmax(-1)
            right += int((guesses == targets.to(device)).sum())
    return right / len(split)


def evaluate(
    supernet: Supernet,
    paths: Iterable[Path],
    data: Data,
    *,
    split: str = "validation",
    own_scale: bool = False,
    images: int = 1024,
    batch_size: int = 128,
) -> dict[str, float]:
    """Accuracy of each path after calibration, by path id.

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
        found[path.id] = accuracy(module, chosen, batch_size)
    return found
