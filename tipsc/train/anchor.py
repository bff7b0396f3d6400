"""Batch norms of a trained model on data that differ from those that it was trained on.

Calibration measures a path's statistics on the data at hand. If those are a few photographs and the
model has seen ImageNet, they move all norms far from where they were trained, and then not even the
largest path is the original any more. So the original is measured on the data first: what its own
statistics differ by, channel for channel, is due to the data and not to the path, and is taken out
of whatever is measured from then on.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.batch import Tensors, flat, placed
from tipsc.elastic import Supernet, anchor_norm, extract, has_batch_norm, is_anchored
from tipsc.errors import DataError, TrainingError
from tipsc.train.calibrate import Moments

LIMIT = 20.0  # of the factor of a variance


def anchor(supernet: Supernet, batches: Iterable[Tensors]) -> None:
    """Training and calibration from now on keep the statistics that the model brought along.

    To be called once, before training, on a supernet made from a trained model. On data like those
    that the model was trained on it changes next to nothing.

    Args:
        supernet: its largest path is the trained model. Nothing happens if it has no batch norm.
        batches: inputs (N, *shape), or trees of them: those that will be used for calibration.

    Raises:
        DataError: no batches.
        TrainingError: it is anchored already; training has changed the statistics since.
    """
    if is_anchored(supernet):
        raise TrainingError(
            "the batch norms are anchored already",
            fix="anchor once, before training, a supernet fresh from its conversion",
        )
    if not has_batch_norm(supernet):
        return
    module = extract(supernet, supernet.space.largest)
    device = next(module.parameters()).device
    meters = {n: _Listener(m) for n, m in module.named_modules() if isinstance(m, _BatchNorm)}
    with torch.inference_mode():
        for inputs in batches:
            module(*flat(placed(inputs, device)))
    for name, meter in meters.items():
        if not meter.moments.count:
            raise DataError("anchoring needs at least one batch", got="none")
        moments = meter.moments
        with torch.no_grad():
            layer = supernet.get_submodule(name)
            anchor_norm(layer, moments.mean.float(), moments.variance.float(), LIMIT)


class _Listener:
    """Notes the moments of what enters a norm; the norm does what it always does."""

    def __init__(self, norm: _BatchNorm) -> None:
        self.moments = Moments()
        norm.register_forward_pre_hook(self._note)

    def _note(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.moments.observe(inputs[0])
