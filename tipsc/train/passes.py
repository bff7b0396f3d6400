"""Forward and backward passes of a step, and forward passes that only try a path."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.elastic import Supernet
from tipsc.paths import Path

Teacher: TypeAlias = Callable[[Tensor], Tensor]
"""A model that is trained already: logits (N, classes) of a batch of inputs."""


@dataclass(frozen=True)
class Loss:
    """What a path lost on a mini-batch.

    Attributes:
        trained: what was minimised: against the smoothed labels, or the teacher's output.
        labels: against the labels themselves, so that all paths compare.
    """

    path: Path
    trained: float
    labels: float


def train_paths(
    supernet: Supernet,
    inputs: Tensor,
    targets: Tensor,
    paths: list[Path],
    *,
    distill: bool,
    label_smoothing: float,
    original: Teacher | None = None,
) -> list[Loss]:
    """Runs each path forward and backward; the gradients are those of the mean loss.

    Args:
        distill: the first path learns the labels and the others its output.
        original: all paths learn its output instead.
    """
    teacher: Tensor | None = None
    if original is not None:
        with torch.no_grad():
            teacher = original(inputs).softmax(-1)
    losses = []
    for path in paths:
        output = supernet(inputs, path)
        if teacher is None:
            loss = F.cross_entropy(output, targets, label_smoothing=label_smoothing)
        else:
            loss = F.cross_entropy(output, teacher)
        (loss / len(paths)).backward()
        trained, labels = loss.item(), loss.item()
        if teacher is not None or label_smoothing:
            labels = F.cross_entropy(output.detach(), targets).item()
        if distill and teacher is None:
            teacher = output.detach().softmax(-1)
        losses.append(Loss(path, trained, labels))
    return losses


@dataclass
class Trial:
    """Tries paths on a mini-batch, without gradients, and counts what that costs.

    Norms normalise with the batch's own statistics, as in training; nothing drops out.

    Attributes:
        ran: the paths that were tried.
        seconds: how long it took.
    """

    supernet: Supernet
    inputs: Tensor
    targets: Tensor
    ran: list[Path] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, path: Path) -> float:
        """The loss of `path` against the labels."""
        began = time.perf_counter()
        dropouts = [m for m in self.supernet.modules() if isinstance(m, nn.Dropout) and m.training]
        for dropout in dropouts:
            dropout.eval()
        with torch.no_grad():
            loss = F.cross_entropy(self.supernet(self.inputs, path), self.targets).item()
        for dropout in dropouts:
            dropout.train()
        self.ran.append(path)
        self.seconds += time.perf_counter() - began
        return loss
