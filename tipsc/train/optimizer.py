"""What changes the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from tipsc.train.config import TrainConfig
from tipsc.train.torch_optimizers import make_optimizer


def optimizer_of(parameters: Sequence[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The one that a configuration names."""
    return make_optimizer(
        config.optimizer,
        config.optimizer_options,
        parameters,
        config.learning_rate,
        config.weight_decay,
    )
