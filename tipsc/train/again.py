"""Some parameters of paths that ship, trained again while all else stays as it is."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, fx, nn
from torch.func import functional_call

from tipsc.dtmc.shipping import Shipping
from tipsc.elastic import Statistics, Supernet, extract
from tipsc.elastic.layers import ElasticLayer
from tipsc.elastic.looking import at_rest
from tipsc.errors import TrainingError, listed
from tipsc.paths import Path
from tipsc.progress import Progress
from tipsc.train.chance import seed_of
from tipsc.train.config import TrainConfig
from tipsc.train.data import Data, Shuffled
from tipsc.train.device import chance_kept, seed, using_threads
from tipsc.train.macs import mac_counter
from tipsc.train.optimizer import optimizer_of
from tipsc.train.passes import train_paths
from tipsc.train.precision import Precision
from tipsc.train.private import drop_out


def train_again(
    supernet: Supernet,
    paths: Mapping[Path, Statistics],
    names: Collection[str],
    data: Data,
    config: TrainConfig,
    *,
    original: nn.Module | None = None,
    progress: Progress = lambda done, total, note="": None,
) -> None:
    """Trains some parameters that paths share; nothing else of the supernet changes.

    Norms keep the statistics of each path, as an engine has them, so that what is trained is what
    ships. What a path has for itself it keeps.

    Args:
        supernet: whose parameters of these names change in place.
        paths: and their statistics.
        names: parameters by their name in the supernet; at least one.
        config: epochs, batch size, learning rate and schedule, weight decay, labels and teacher,
            paths a step, thrift, seed.
        original: a model that was trained already, whose answers are learned beside the labels.

    Raises:
        TrainingError: the loss is not finite, or no path shares any of this.
    """
    modules = {
        path: module
        for path, own in paths.items()
        if _shared(supernet, module := extract(supernet, path, own), path, names, own)
    }
    if not modules:
        raise TrainingError(
            "each path has of its own what is to be trained for all",
            got=listed(sorted(names)),
            fix="train all of it",
        )
    for module in modules.values():
        module.requires_grad_(False)
        drop_out(module)
    trained = [supernet.get_parameter(name) for name in sorted(names)]
    optimizer = optimizer_of(trained, config)
    batches = Shuffled(data.train, config.batch_size, config.seed, data.augment)
    steps = config.epochs * batches.steps_per_epoch
    device = trained[0].device
    precision = Precision(config.precision, device)
    macs = mac_counter(supernet)
    sampler = Shipping.of(tuple(modules), [macs(path) for path in modules], config.thrift)

    def run(*given: Any) -> Any:
        *inputs, path = given
        shared = _shared(supernet, modules[path], path, names, paths[path])
        return functional_call(modules[path], shared, tuple(inputs))

    with (
        at_rest(*filter(None, [original])),
        using_threads(config.threads),
        chance_kept(device),
    ):
        for step in range(steps):
            seed(device, seed_of("torch", config.seed, step))
            epoch, place = divmod(step, batches.steps_per_epoch)
            if place == 0:
                order = batches.epoch(epoch)
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step, steps)
            optimizer.zero_grad(set_to_none=True)
            losses = train_paths(
                run,
                next(order).on(device),
                sampler.draw(random.Random(seed_of("paths", config.seed, step)),
                             config.paths_per_step),
                data.judged_by,
                distill=False,
                label_smoothing=config.label_smoothing,
                original=original,
                teacher_share=config.teacher_share,
                precision=precision,
                accumulate=config.accumulate,
            )  # fmt: skip
            lost = sum(loss.trained.item() for loss in losses) / len(losses)
            if not math.isfinite(lost):
                raise TrainingError(
                    f"the loss is {lost}",
                    where=f"step {step} of {steps}",
                    fix="lower train.learning_rate, or look for extreme values in the data",
                )
            precision.step(optimizer, trained, config.clip_norm)
            progress(step + 1, steps, f"loss {lost:.3f}")


def _shared(
    supernet: Supernet,
    module: fx.GraphModule,
    path: Path,
    names: Collection[str],
    statistics: Statistics,
) -> dict[str, Tensor]:
    """What a path uses of the parameters that are trained."""
    found = {}
    for name, _ in module.named_parameters():
        if name in names and name not in statistics.own:
            holder, _, key = name.rpartition(".")
            layer = supernet.get_submodule(holder)
            if isinstance(layer, ElasticLayer) and key in layer.cuts(path):
                found[name] = layer.part(key, path)
            else:
                found[name] = supernet.get_parameter(name)
    return found
