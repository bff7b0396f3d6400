"""Forward and backward passes of a step, and forward passes that only try a path."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tipsc.batch import Batch, ask, flat, mapped
from tipsc.elastic import Supernet
from tipsc.elastic.looking import trying
from tipsc.paths import Path
from tipsc.tasks import Classification, Task

#: of the loss against the original's answers, the rest against the labels; docs/learning.md
TEACHER_SHARE = 0.25

#: what targets mean where nobody says it
LABELS = Classification()


@dataclass(frozen=True)
class Loss:
    """What a path lost on a mini-batch.

    Attributes:
        trained: what was minimised: against the smoothed labels, the teacher's output, or both.
        labels: against the labels themselves, so that all paths compare.
    """

    path: Path
    trained: float
    labels: float


def train_paths(
    supernet: Supernet | Callable[..., Any],
    batch: Batch,
    paths: list[Path],
    task: Task = LABELS,
    *,
    distill: bool,
    label_smoothing: float,
    original: nn.Module | None = None,
    teacher_share: float = TEACHER_SHARE,
) -> list[Loss]:
    """Runs each path forward and backward; the gradients are those of the mean loss.

    Args:
        supernet: or what computes its paths in another way, called with the inputs and a path.
        task: what the targets mean.
        distill: the first path learns the labels and the others its output.
        original: a model that is trained already; all paths learn its output and the labels.
        teacher_share: of the loss that is against the original's output; the rest is against the
            (smoothed) labels.
    """
    teacher: Any = None
    inputs = flat(batch.inputs)
    share = 1.0
    if original is not None:
        share = teacher_share
        with torch.no_grad():
            teacher = ask(original, batch.inputs)
    losses = []
    for path in paths:
        output = supernet(*inputs, path)
        parts = []
        if teacher is not None:
            parts.append(share * task.imitate(output, teacher))
        if teacher is None or share < 1:
            hard = task.loss(output, batch.targets, smoothing=label_smoothing)
            parts.append((1 - share if teacher is not None else 1.0) * hard)
        loss = torch.stack(parts).sum()
        (loss / len(paths)).backward()
        trained, labels = loss.item(), loss.item()
        if teacher is not None or label_smoothing:
            labels = task.loss(mapped(Tensor.detach, output), batch.targets).item()
        if distill and teacher is None:
            teacher = mapped(Tensor.detach, output)
        losses.append(Loss(path, trained, labels))
    return losses


@dataclass
class Trial:
    """Tries paths on a mini-batch, without gradients, and counts what that costs.

    Norms normalise with the batch's own statistics, as in training; nothing drops out, and nothing
    of the supernet changes.

    Attributes:
        ran: the paths that were tried.
        seconds: how long it took.
    """

    supernet: Supernet
    batch: Batch
    task: Task
    ran: list[Path] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, path: Path) -> float:
        """The loss of `path` against the labels."""
        began = time.perf_counter()
        with trying(self.supernet):
            output = self.supernet(*flat(self.batch.inputs), path)
            loss = self.task.loss(output, self.batch.targets).item()
        self.ran.append(path)
        self.seconds += time.perf_counter() - began
        return loss
