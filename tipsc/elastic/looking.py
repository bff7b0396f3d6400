"""Running a net only to look at what it gives: nothing of it changes by that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from tipsc.elastic.batch_norm import _ElasticBatchNorm

_BATCH_NORMS = (_NormBase, _ElasticBatchNorm)


@contextmanager
def at_rest(*models: nn.Module) -> Iterator[None]:
    """Inside, the models are in eval mode.

    Afterwards every module has the mode that it had, whatever those around it have: a user's
    frozen norm stays frozen.
    """
    before = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        yield
    finally:
        _set(before)


@contextmanager
def looking(*models: nn.Module) -> Iterator[None]:
    """As :func:`at_rest`; also, nothing is recorded for gradients, and chance goes on afterwards
    as if nothing had been run.
    """
    with at_rest(*models), torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def trying(model: nn.Module) -> Iterator[None]:
    """Inside, batch norms normalise as in training, with the batch's own statistics.

    All else is in eval mode, whatever drops out, adds noise or skips layers in training; nothing
    is recorded for gradients. Afterwards modes and statistics are what they were.
    """
    norms = [module for module in model.modules() if isinstance(module, _BATCH_NORMS)]
    before = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    training = [(norm, norm.training) for norm in norms]
    with looking(model):
        _set(training)
        try:
            yield
        finally:
            for buffer, value in before:
                buffer.copy_(value)


def _set(modes: Sequence[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training
