"""How the learning rate goes over the steps: two schedules of ours, and torch's by their names.

A rate depends on the step's number alone, so that a training resumes at any step.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from tipsc.errors import ConfigError
from tipsc.train.torch_optimizers import check_options_of

_RISE = {"one-cycle": 0.3, "cosine": 0.05}
SCHEDULES = (
    *_RISE, "StepLR", "MultiStepLR", "ExponentialLR", "PolynomialLR", "LinearLR", "ConstantLR",
    "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
)  # fmt: skip
"""Those of :mod:`torch.optim.lr_scheduler` that only count steps, beside ours."""
_LENGTHS = ("total_iters", "T_max")  # what torch calls the number of steps
_TRIED = 8  # steps of a schedule that is only checked


def rate(name: str, options: Mapping[str, Any], peak: float, step: float, steps: float) -> float:
    """The learning rate of a step, from 0, of a schedule of `steps`.

    Args:
        name: of :data:`SCHEDULES`.
        options: keyword arguments of torch's class; its lengths are in steps, and that of the whole
            schedule is the training's where it is not given.
        peak: the rate that the schedule changes.
    """
    if name in _RISE:
        return _wave(_RISE[name], peak, step, steps)
    rates = _table(name, json.dumps(options, sort_keys=True), peak, max(1, round(steps)))
    return rates[min(round(step), len(rates) - 1)]


def check_schedule(name: str, options: Mapping[str, Any]) -> None:
    """Refuses options that the schedule does not take.

    Raises:
        ConfigError: names the option.
    """
    where = "train.schedule_options"
    if name in _RISE:
        check_options_of(f"the schedule {name}", options, (), where)
        return
    kind = getattr(torch.optim.lr_scheduler, name)
    known = [k for k in inspect.signature(kind).parameters if k not in ("optimizer", "last_epoch")]
    check_options_of(name, options, known, where)
    try:
        rate(name, options, 1.0, 0, _TRIED)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise ConfigError(
            f"torch's {name} does not take these: {error}", where=where, got=dict(options)
        ) from error


def _wave(share: float, peak: float, step: float, steps: float) -> float:
    """Rises over a share of the steps, and falls, along cosines."""
    rise = max(1.0, share * steps)
    low = peak / 25
    if step < rise:
        return low + (peak - low) * _half_wave(step / rise)
    return peak * (1 - _half_wave((step - rise) / max(1.0, steps - rise)))


def _half_wave(share: float) -> float:
    """From 0 to 1 along a cosine."""
    return 0.5 - 0.5 * math.cos(math.pi * share)


@lru_cache(maxsize=8)
def _table(name: str, options: str, peak: float, steps: int) -> tuple[float, ...]:
    """The rates of torch's schedule, one after the other."""
    kind = getattr(torch.optim.lr_scheduler, name)
    given = json.loads(options)
    lengths = {k: steps for k in inspect.signature(kind).parameters if k in _LENGTHS}
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], peak)
    schedule, rates = kind(optimizer, **{**lengths, **given}), []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()  # without it, torch warns of the order
        schedule.step()
    return tuple(rates)
