"""How good a path is, as its task judges it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx, nn

from tipsc.batch import Examples, Tensors, ask, flat, in_order
from tipsc.elastic import Supernet, extract
from tipsc.paths import Path
from tipsc.tasks import Quality, Task
from tipsc.train.calibrate import measure
from tipsc.train.data import Data


def quality_of(
    model: nn.Module,
    examples: Examples,
    task: Task,
    batch_size: int = 100,
    most: int | None = None,
) -> Quality:
    """Of the outputs of a plain model, or of a path that was extracted.

    Args:
        most: of the examples, how many are looked at; all if not given.
    """
    tally = task.score()
    device = next((parameter.device for parameter in model.parameters()), None)
    with torch.inference_mode():
        for batch in in_order(examples, batch_size, most):
            there = batch if device is None else batch.on(device)
            tally.add(outputs_of(model, there.inputs), there.targets)
    return tally.quality


def outputs_of(model: nn.Module, inputs: Tensors) -> Any:
    """An extracted path takes its tensors one after the other, whatever tree the model takes."""
    return model(*flat(inputs)) if isinstance(model, fx.GraphModule) else ask(model, inputs)


def evaluate(
    supernet: Supernet,
    paths: Iterable[Path],
    data: Data,
    *,
    split: str = "validation",
    own_scale: bool = False,
    images: int = 1024,
    batch_size: int = 128,
) -> dict[str, Quality]:
    """Quality of each path after calibration, by path id.

    Args:
        split: "train", "validation" or "test".
        own_scale: give each path variances, and thus weights, of its own.
        images: of train, for calibration.
    """
    batches = data.calibration(images, batch_size)
    chosen: Examples = getattr(data, split)
    found = {}
    for path in paths:
        module = extract(supernet, path)
        measure(supernet, module, path, batches, own_scale=own_scale)
        found[path.id] = quality_of(module, chosen, data.judged_by, batch_size)
    return found
