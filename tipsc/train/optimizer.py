"""What changes the weights."""

from __future__ import annotations

import torch
from torch import nn

from tipsc.train.config import TrainConfig


def optimizer_of(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; matrices and filters decay, biases and norms do not."""
    matrices = [p for p in parameters if p.dim() > 1]
    vectors = [p for p in parameters if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], config.learning_rate, fused=True)
