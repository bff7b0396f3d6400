"""Some parameters of paths that ship, trained again while all else stays as it is."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, fx, nn
from torch.func import functional_call

from tipsc.dtmc.shipping import Shipping
from tipsc.elastic import Statistics, Supernet, extract
from tipsc.elastic.layers import ElasticLayer
from tipsc.errors import TrainingError, listed
from tipsc.paths import Path
from tipsc.progress import Progress
from tipsc.train.chance import seed_of
from tipsc.train.config import TrainConfig
from tipsc.train.data import Data
from tipsc.train.macs import mac_counter
from tipsc.train.tune import drop_out, tune


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
    macs = mac_counter(supernet)
    sampler = Shipping.of(tuple(modules), [macs(path) for path in modules], config.thrift)

    def run(*given: Any) -> Any:
        *inputs, path = given
        shared = _shared(supernet, modules[path], path, names, paths[path])
        return functional_call(modules[path], shared, tuple(inputs))

    def draw(step: int) -> list[Path]:
        chance = random.Random(seed_of("paths", config.seed, step))
        return sampler.draw(chance, config.paths_per_step)

    tune(
        run, trained, draw, data, config, original=original, progress=progress,
        fix="lower train.learning_rate, or look for extreme values in the data",
    )  # fmt: skip


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
