"""Forward and backward passes of a step, and forward passes that only try a path."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tipsc.batch import Batch, ask, flat, mapped, rows
from tipsc.elastic import Supernet
from tipsc.elastic.looking import trying
from tipsc.paths import Path
from tipsc.tasks import Classification, Task
from tipsc.train.precision import FULL, Precision

#: of the loss against the original's answers, the rest against the labels; docs/learning.md
TEACHER_SHARE = 0.25

#: what targets mean where nobody says it
LABELS = Classification()


@dataclass(frozen=True)
class Loss:
    """What a path lost on a mini-batch; scalars on the device, which nobody has waited for.

    Attributes:
        trained: what was minimised: against the smoothed labels, the teacher's output, or both.
        labels: against the labels themselves, so that all paths compare.
    """

    path: Path
    trained: Tensor
    labels: Tensor


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
    precision: Precision = FULL,
    accumulate: int = 1,
) -> list[Loss]:
    """Runs each path forward and backward; the gradients are those of the mean loss.

    Args:
        supernet: or what computes its paths in another way, called with the inputs and a path.
        task: what the targets mean.
        distill: the first path learns the labels and the others its output.
        original: a model that is trained already; all paths learn its output and the labels.
        teacher_share: of the loss that is against the original's output; the rest is against the
            (smoothed) labels.
        precision: that models run in.
        accumulate: parts of the batch that are run one after the other, which takes less memory.
    """
    lost: list[Loss] = []
    for part, share in _parts(batch, accumulate):
        found = _train_part(
            supernet, part, share, paths, task, distill, label_smoothing, original,
            teacher_share, precision,
        )  # fmt: skip
        lost = found if not lost else [_sum(*pair) for pair in zip(lost, found, strict=True)]
    return lost


def _train_part(
    supernet: Supernet | Callable[..., Any],
    batch: Batch,
    weight: float,
    paths: list[Path],
    task: Task,
    distill: bool,
    label_smoothing: float,
    original: nn.Module | None,
    teacher_share: float,
    precision: Precision,
) -> list[Loss]:
    """A part of a batch, whose losses count with a weight."""
    teacher: Any = None
    inputs = flat(batch.inputs)
    share = 1.0
    if original is not None:
        share = teacher_share
        with torch.no_grad(), precision.forward():
            teacher = ask(original, batch.inputs)
        teacher = precision.outputs(teacher)
    losses = []
    for path in paths:
        with precision.forward():
            output = supernet(*inputs, path)
        output = precision.outputs(output)
        parts = []
        if teacher is not None:
            parts.append(share * task.imitate(output, teacher))
        if teacher is None or share < 1:
            hard = task.loss(output, batch.targets, smoothing=label_smoothing)
            parts.append((1 - share if teacher is not None else 1.0) * hard)
        loss = weight * torch.stack(parts).sum()
        precision.backward(loss / len(paths))
        trained = labels = loss.detach()
        if teacher is not None or label_smoothing:
            with torch.no_grad():
                labels = weight * task.loss(output, batch.targets)
        if distill and teacher is None:
            teacher = mapped(Tensor.detach, output)
        losses.append(Loss(path, trained, labels))
    return losses


def _parts(batch: Batch, count: int) -> Iterator[tuple[Batch, float]]:
    """Parts of a batch, each with its share of the examples."""
    if count == 1:
        yield batch, 1.0
        return
    examples = batch.examples
    size = math.ceil(examples / count)
    for start in range(0, examples, size):
        at = slice(start, start + size)
        part = Batch(rows(batch.inputs, at), rows(batch.targets, at))
        yield part, part.examples / examples


def _sum(one: Loss, other: Loss) -> Loss:
    return Loss(one.path, one.trained + other.trained, one.labels + other.labels)


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
    precision: Precision = FULL
    ran: list[Path] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, path: Path) -> float:
        """The loss of `path` against the labels."""
        began = time.perf_counter()
        with trying(self.supernet):
            with self.precision.forward():
                output = self.supernet(*flat(self.batch.inputs), path)
            loss = self.task.loss(self.precision.outputs(output), self.batch.targets).item()
        self.ran.append(path)
        self.seconds += time.perf_counter() - began
        return loss
