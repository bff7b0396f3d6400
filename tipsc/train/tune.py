"""Steps of training for some parameters, while all else stays as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.elastic.looking import at_rest
from tipsc.errors import TrainingError
from tipsc.paths import Path
from tipsc.progress import Progress
from tipsc.train.chance import seed_of
from tipsc.train.config import TrainConfig
from tipsc.train.data import Data, Shuffled
from tipsc.train.device import chance_kept, seed, using_threads
from tipsc.train.optimizer import optimizer_of
from tipsc.train.passes import train_paths
from tipsc.train.precision import Precision


def tune(
    run: Callable[..., Any],
    trained: Sequence[nn.Parameter],
    draw: Callable[[int], list[Path]],
    data: Data,
    config: TrainConfig,
    *,
    steps: int | None = None,
    label: str = "",
    fix: str,
    original: nn.Module | None = None,
    progress: Progress = lambda done, total, note="": None,
) -> None:
    """Trains these parameters by labels and a teacher.

    Args:
        run: a model of inputs and, last, the path.
        trained: what changes, in place; at least one.
        draw: the paths of a step.
        config: batch size, learning rate and schedule, weight decay, labels and teacher, seed.
        steps: as many batches of training data; if not given, the epochs of `config`.
        label: of what is trained, in seeds and errors.
        fix: what helps if the loss is not finite.
        original: a model that was trained already, whose answers are learned beside the labels.

    Raises:
        TrainingError: the loss is not finite.
    """
    optimizer = optimizer_of(trained, config)
    batches = Shuffled(
        data.train, config.batch_size, seed_of("own", config.seed, label), data.augment
    )
    steps = config.epochs * batches.steps_per_epoch if steps is None else steps
    device = trained[0].device
    precision = Precision(config.precision, device)
    with (
        at_rest(*filter(None, [original])),
        using_threads(config.threads),
        chance_kept(device),
    ):
        for step in range(steps):
            seed(device, seed_of("torch", config.seed, label, step))
            epoch, place = divmod(step, batches.steps_per_epoch)
            if place == 0:
                order = batches.epoch(epoch)
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step, steps)
            optimizer.zero_grad(set_to_none=True)
            losses = train_paths(
                run,
                next(order).on(device),
                draw(step),
                data.judged_by,
                distill=False,
                label_smoothing=config.label_smoothing,
                original=original,
                teacher_share=config.teacher_share,
                precision=precision,
                accumulate=config.accumulate,
            )
            lost = sum(loss.trained.item() for loss in losses) / len(losses)
            if not math.isfinite(lost):
                what = f"{label}, " if label else ""
                raise TrainingError(
                    f"the loss is {lost}", where=f"{what}step {step} of {steps}", fix=fix
                )
            precision.step(optimizer, trained, config.clip_norm)
            progress(step + 1, steps, f"loss {lost:.3f}")


def drop_out(module: fx.GraphModule) -> None:
    """A module as in training, but for norms, which keep their statistics."""
    module.train()
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()
