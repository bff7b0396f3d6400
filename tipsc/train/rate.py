"""The learning rate, by a short range test (arXiv 1506.01186) on the model and data at hand.

The rate rises from step to step on a copy of the model, over batches that it sees for the first
time, so that the loss before each step is one on held-out examples. It falls while the rate helps
and rises once it destroys: the first rate that is as good as any is the peak of the training's
cycle.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path as FilePath

import torch
from torch import nn

from tipsc.batch import Batch
from tipsc.elastic import Supernet
from tipsc.elastic.looking import at_rest
from tipsc.paths import Path
from tipsc.tasks import Task
from tipsc.train.chance import seed_of
from tipsc.train.checkpoint import write_whole
from tipsc.train.config import TrainConfig
from tipsc.train.data import Batches
from tipsc.train.device import seed
from tipsc.train.distributed import Processes
from tipsc.train.optimizer import optimizer_of
from tipsc.train.passes import train_paths
from tipsc.train.precision import Precision

LOW, HIGH = 3e-5, 0.2
#: of the test, over as many epochs as that takes
STEPS = 120
#: of an epoch: with fewer, chance decides
FEWEST = 48
#: steps whose losses are averaged, or as many as there are paths
WINDOW = 8
#: times the least loss: from there on nothing is learned any more
_LOST = 2.0
#: of what the loss fell: so near the least is as good as that
_NEAR = 0.05
#: of a model that was trained already, by an optimizer whose steps are about as long as the rate:
#: more gained nothing on the nets of docs/learning.md, and cheap paths of a U-Net died
MOST, _OF_ONE_LENGTH = 5e-3, ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")
FILE = "rate.json"


@dataclass(frozen=True)
class RangeTest:
    """What was seen.

    Attributes:
        rate: the first whose loss is as good as the least; of a model that was trained already at
            most :data:`MOST`.
        rates, losses: in the middle of each window, and mean in it.
    """

    rate: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]


def range_test(
    supernet: Supernet,
    batches: Iterable[Batch],
    steps: int,
    config: TrainConfig,
    paths: Sequence[Path],
    task: Task,
    *,
    original: nn.Module | None,
) -> RangeTest:
    """Losses of some paths, one after the other, while the rate rises; nothing of it is kept.

    Args:
        batches: on the supernet's device, `steps` of them at least. Of a short epoch the later
            ones were seen before, at rates that are small beside theirs.
        paths: that will be trained.
        original: whose answers are learned too, in evaluation mode.
    """
    net = copy.deepcopy(supernet).train()
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimizer = optimizer_of(parameters, config)
    precision = Precision(config.precision, parameters[0].device)
    window = math.ceil(WINDOW / len(paths)) * len(paths)
    rates: list[float] = []
    losses: list[float] = []
    means: list[float] = []
    for step, batch in zip(range(steps), batches, strict=False):
        rates.append(LOW * (HIGH / LOW) ** (step / (steps - 1)))
        for group in optimizer.param_groups:
            group["lr"] = rates[-1]
        optimizer.zero_grad(set_to_none=True)
        (loss,) = train_paths(
            net,
            batch,
            [paths[step % len(paths)]],
            task,
            distill=False,
            label_smoothing=config.label_smoothing,
            original=original,
            teacher_share=config.teacher_share,
            precision=precision,
            accumulate=config.accumulate,
        )
        precision.step(optimizer, parameters, config.clip_norm)
        losses.append(float(loss.trained))
        if len(losses) >= window:
            means.append(math.fsum(losses[-window:]) / window)
            if not means[-1] <= _LOST * min(means):  # or no number
                break
    known = [mean if math.isfinite(mean) else math.inf for mean in means]
    middles = [math.sqrt(a * b) for a, b in zip(rates, rates[window - 1 :], strict=False)]
    return RangeTest(middles[best_of(known)], tuple(middles[: len(known)]), tuple(means))


def best_of(losses: Sequence[float]) -> int:
    """The place of the loss whose rate is taken: the first that is as good as the least.

    Where rates are good over a wide range, chance picks the least loss in it; the lowest of these
    rates destroys least in paths that the test hardly sees.
    """
    least = min(losses)
    near = least + _NEAR * (losses[0] - least)
    return next(i for i, loss in enumerate(losses) if loss <= near)


def found_rate(
    supernet: Supernet,
    batches: Batches,
    config: TrainConfig,
    paths: Sequence[Path],
    task: Task,
    original: nn.Module | None,
    folder: FilePath,
    ranks: Processes,
) -> float:
    """The peak of the schedule for these paths: found once, and kept for a resumption.

    Args:
        folder: of the training; what was found is kept there.
        ranks: the first one's is that of all.

    Returns:
        The configuration's own rate, if an epoch has fewer than :data:`FEWEST` batches.
    """
    if batches.steps_per_epoch < FEWEST:  # they would say what chance does
        return config.learning_rate
    rate = torch.zeros((), dtype=torch.float64)
    if ranks.rank == 0:
        known = kept_rate(folder)
        if known is None:
            device = next(supernet.parameters()).device
            seed(device, seed_of("rate", config.seed))
            with at_rest(*filter(None, [original])):
                epochs = (batches.epoch(number) for number in count())
                placed = (batch.on(device) for epoch in epochs for batch in epoch)
                found = range_test(supernet, placed, STEPS, config, paths, task, original=original)
            if original is not None and config.optimizer in _OF_ONE_LENGTH:
                found = replace(found, rate=min(found.rate, MOST))
            _keep(folder, found)
            known = found.rate
        rate += known
    ranks.copy_from_first([rate])
    return float(rate)


def kept_rate(folder: FilePath) -> float | None:
    """That a training in this folder found, if it looked for one."""
    file = folder / FILE
    return float(json.loads(file.read_text())["rate"]) if file.exists() else None


def _keep(folder: FilePath, found: RangeTest) -> None:
    """Writes what was found beside the checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, json.dumps(asdict(found)).encode())
