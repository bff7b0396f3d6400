"""One scale for all paths.

A batch norm is folded into the weights before it. If each path had a variance of its own, it
would need weights of its own, and nothing would be left to share. So training ends with a phase
in which every norm divides by one variance, the same for all paths; only the mean, which becomes
a bias, stays each path's own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from tipsc.batch import Batch, Tensors, count, flat, joined, placed, rows, split
from tipsc.elastic import (
    Supernet,
    add_by_channel,
    freeze_scales,
    has_batch_norm,
    settle_ratios,
)
from tipsc.paths import Path, SearchSpace
from tipsc.train.calibrate import calibrate

PATHS = 24
_BATCH = 512
_VALUES = 2**24  # of a batch: activations of large images take much memory


def share_scales(
    supernet: Supernet,
    batches: Sequence[Tensors],
    paths: Iterable[Path],
) -> None:
    """Gives each norm the mean of its variances on some paths, and freezes the scales.

    A channel's variance is averaged over those paths that use it; one that none of them uses keeps
    what it has. Nothing happens to a supernet without batch norm.

    Args:
        batches: inputs for calibration.
        paths: those that will ship, or many of which they will be some; see :func:`spread_paths`.
    """
    if not has_batch_norm(supernet):
        return
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    for path in paths:
        for name, variance in calibrate(supernet, path, batches, own_scale=True).variance.items():
            layer = supernet.get_submodule(name)
            full = layer.get_buffer("running_var")
            total = sums.setdefault(name, torch.zeros_like(full))
            count = counts.setdefault(name, torch.zeros_like(full))
            variance = variance.to(full.device)
            add_by_channel(layer, path, variance, total)
            add_by_channel(layer, path, torch.ones_like(variance), count)
    for name, total in sums.items():
        variance = supernet.get_submodule(name).get_buffer("running_var")
        variance.copy_(torch.where(counts[name] > 0, total / counts[name].clamp(min=1), variance))
    settle_ratios(supernet)
    freeze_scales(supernet)


def looked_at(batches: Iterable[Batch], examples: int, device: torch.device) -> list[Tensors]:
    """Inputs of the first examples on the device, in batches whose activations memory holds."""
    found: list[Tensors] = []
    for inputs, _ in batches:
        found.append(placed(inputs, device))
        if sum(map(count, found)) >= examples:
            break
    inputs = rows(joined(found), slice(examples))
    values = sum(tensor[0].numel() for tensor in flat(inputs))
    return list(split(inputs, min(_BATCH, max(16, _VALUES // values))))


def spread_paths(space: SearchSpace, generator: random.Random, count: int = PATHS) -> list[Path]:
    """The largest, the smallest, and random paths: together `count`, at least 2."""
    drawn = [space.sample_options(generator) for _ in range(count - 2)]
    return [space.largest, space.smallest, *drawn]
