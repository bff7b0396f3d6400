"""One scale for all paths.

A batch norm is folded into the weights before it. If each path had a variance of its own, it
would need weights of its own, and nothing would be left to share. So training ends with a phase
in which every norm divides by one variance, the same for all paths; only the mean, which becomes
a bias, stays each path's own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from tipsc.elastic import Supernet, add_by_channel, freeze_scales, has_batch_norm
from tipsc.train.calibrate import calibrate

PATHS = 24


def share_scales(
    supernet: Supernet,
    batches: Sequence[Tensor],
    generator: random.Random,
    paths: int = PATHS,
) -> None:
    """Gives each norm the mean of its variances on many paths, and freezes the scales.

    A channel's variance is averaged over those paths that use it: the largest, the smallest and
    random ones. Nothing happens to a supernet without batch norm.

    Args:
        batches: inputs for calibration.
        paths: how many, at least 2.
    """
    if not has_batch_norm(supernet):
        return
    space = supernet.space
    drawn = [space.sample_options(generator) for _ in range(paths - 2)]
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    for path in (space.largest, space.smallest, *drawn):
        for name, variance in calibrate(supernet, path, batches, own_scale=True).variance.items():
            layer = supernet.get_submodule(name)
            full = layer.get_buffer("running_var")
            total = sums.setdefault(name, torch.zeros_like(full))
            count = counts.setdefault(name, torch.zeros_like(full))
            add_by_channel(layer, path, variance, total)
            add_by_channel(layer, path, torch.ones_like(variance), count)
    for name, total in sums.items():
        supernet.get_submodule(name).get_buffer("running_var").copy_(total / counts[name])
    freeze_scales(supernet)
