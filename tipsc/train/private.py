"""Training what one path has for itself, while all that it shares stays as it is."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tipsc.elastic import Statistics, Supernet, extract
from tipsc.elastic.looking import at_rest
from tipsc.errors import TrainingError
from tipsc.paths import Path
from tipsc.train.chance import seed_of
from tipsc.train.config import TrainConfig
from tipsc.train.data import Data, Shuffled
from tipsc.train.device import chance_kept, seed, using_threads
from tipsc.train.optimizer import optimizer_of
from tipsc.train.passes import train_paths
from tipsc.train.precision import Precision


def train_private(
    supernet: Supernet,
    path: Path,
    statistics: Statistics,
    names: Collection[str],
    data: Data,
    config: TrainConfig,
    steps: int,
    *,
    original: nn.Module | None = None,
) -> Statistics:
    """Trains some parameters of one path from what it shares; nothing of the supernet changes.

    Norms keep the path's statistics, as an engine has them, so that what is trained is what ships.

    Args:
        statistics: of the path, from calibration.
        names: parameters by their name in the supernet; at least one.
        config: batch size, learning rate and schedule, weight decay, labels and teacher, seed.
        steps: as many batches of training data.
        original: a model that was trained already, whose answers are learned beside the labels.

    Returns:
        The statistics with these parameters as the path's own.

    Raises:
        TrainingError: the loss is not finite.
    """
    module = extract(supernet, path, statistics)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in names)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = optimizer_of(trained, config)
    batches = Shuffled(
        data.train, config.batch_size, seed_of("own", config.seed, path.id), data.augment
    )
    drop_out(module)
    device = trained[0].device
    precision = Precision(config.precision, device)

    def alone(*given: Any) -> Any:  # the last one is the path, which the module is
        return module(*given[:-1])

    with (
        at_rest(*filter(None, [original])),
        using_threads(config.threads),
        chance_kept(device),
    ):
        seed(device, seed_of("torch", config.seed, path.id))
        for step in range(steps):
            epoch, place = divmod(step, batches.steps_per_epoch)
            if place == 0:
                order = batches.epoch(epoch)
            batch = next(order).on(device)
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step, steps)
            optimizer.zero_grad(set_to_none=True)
            (loss,) = train_paths(
                alone,
                batch,
                [path],
                data.judged_by,
                distill=False,
                label_smoothing=config.label_smoothing,
                original=original,
                teacher_share=config.teacher_share,
                precision=precision,
                accumulate=config.accumulate,
            )
            lost = loss.trained.item()
            if not math.isfinite(lost):
                raise TrainingError(
                    f"the loss is {lost}",
                    where=f"path {path.id} by itself, step {step} of {steps}",
                    fix="lower train.learning_rate, or set build.share_loss: null",
                )
            precision.step(optimizer, trained, config.clip_norm)
    return _kept(module.eval(), statistics, names)


def drop_out(module: fx.GraphModule) -> None:
    """A module as in training, but for norms, which keep their statistics."""
    module.train()
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()


def _kept(module: fx.GraphModule, statistics: Statistics, names: Collection[str]) -> Statistics:
    own = {k: v.detach().clone().cpu() for k, v in module.named_parameters() if k in names}
    return replace(statistics, own={**statistics.own, **own})
