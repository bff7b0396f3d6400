"""Optimizers of torch by their names, and which weights decay."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tipsc.errors import ConfigError, near

OPTIMIZERS = (
    "AdamW", "Adam", "SGD", "RMSprop", "NAdam", "RAdam", "Adagrad", "Adadelta", "Adamax",
)  # fmt: skip
"""Of :mod:`torch.optim`, those that step by dense gradients alone."""
_FUSED = ("AdamW", "Adam", "SGD", "Adagrad")  # one kernel for all weights
_OURS = ("params", "lr", "weight_decay", "fused", "foreach", "capturable", "differentiable")


def make_optimizer(
    name: str,
    options: Mapping[str, Any],
    parameters: Sequence[nn.Parameter],
    learning_rate: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Matrices and filters decay, biases and norms do not.

    Args:
        name: of :data:`OPTIMIZERS`.
        options: keyword arguments of torch's class.
    """
    matrices = [p for p in parameters if p.dim() > 1]
    vectors = [p for p in parameters if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    kind = getattr(torch.optim, name)
    fused = {"fused": True} if name in _FUSED else {}
    made: torch.optim.Optimizer = kind(
        [g for g in groups if g["params"]], lr=learning_rate, **fused, **options
    )
    return made


def check_optimizer(name: str, options: Mapping[str, Any]) -> None:
    """Refuses options that the optimizer does not take.

    Raises:
        ConfigError: names the option.
    """
    arguments = inspect.signature(getattr(torch.optim, name)).parameters
    known = [argument for argument in arguments if argument not in _OURS]
    check_options_of(f"torch.optim.{name}", options, known, "train.optimizer_options")
    try:
        make_optimizer(name, options, [nn.Parameter(torch.zeros(1))], 1e-3, 0.0)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"torch.optim.{name} does not take these: {error}",
            where="train.optimizer_options",
            got=dict(options),
        ) from error


def check_options_of(
    what: str, options: Mapping[str, Any], known: Sequence[str], where: str
) -> None:
    """Refuses options that are not among those that are known.

    Raises:
        ConfigError: names the first one.
    """
    for option in options:
        if option not in known:
            raise ConfigError(
                f"{what} has no option {option!r} here",
                where=f"{where}.{option}",
                expected=f"one of {', '.join(known)}" if known else "none",
                fix=near(option, known),
            )
