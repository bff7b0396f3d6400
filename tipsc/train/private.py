"""Training what one path has for itself, while all that it shares stays as it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from torch import fx, nn

from tipsc.elastic import Statistics, Supernet, extract
from tipsc.paths import Path
from tipsc.train.config import TrainConfig
from tipsc.train.data import Data
from tipsc.train.tune import drop_out, tune


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
    drop_out(module)

    def alone(*given: Any) -> Any:  # the last one is the path, which the module is
        return module(*given[:-1])

    tune(
        alone, trained, lambda step: [path], data, config,
        steps=steps, label=f"path {path.id} by itself", original=original,
        fix="lower train.learning_rate, or set build.share_loss: null",
    )  # fmt: skip
    return _kept(module.eval(), statistics, names)


def _kept(module: fx.GraphModule, statistics: Statistics, names: Collection[str]) -> Statistics:
    own = {k: v.detach().clone().cpu() for k, v in module.named_parameters() if k in names}
    return replace(statistics, own={**statistics.own, **own})
