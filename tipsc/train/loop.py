"""The training loop of a supernet."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Protocol

from torch import nn

from tipsc.batch import Batch
from tipsc.dtmc.samplers import Sampler
from tipsc.dtmc.shipping import Shipping
from tipsc.elastic import Supernet
from tipsc.elastic.looking import at_rest
from tipsc.errors import DataError
from tipsc.paths import Path
from tipsc.tasks import Task
from tipsc.train.ahead import on_time
from tipsc.train.chance import seed_of
from tipsc.train.checkpoint import identity_of
from tipsc.train.config import TrainConfig
from tipsc.train.data import Batches, Data, Shuffled
from tipsc.train.device import chance_kept, device_of, on_device, using_threads
from tipsc.train.distributed import Processes, group
from tipsc.train.fit import check_fits
from tipsc.train.history import History
from tipsc.train.learner import Learner
from tipsc.train.macs import mac_counter
from tipsc.train.phases import PhasePlan
from tipsc.train.rate import found_rate
from tipsc.train.samplers import Adaptive
from tipsc.train.scales import looked_at, share_scales, spread_paths
from tipsc.train.step import Steps


class TrainProgress(Protocol):
    """Is told of each step that is done: learning_rate, seconds_left, and the last known loss; the
    parts in which a batch is run, where a GPU's memory takes more of them than was asked for."""

    def __call__(self, done: int, total: int, fields: Mapping[str, float]) -> None: ...


def train(
    supernet: Supernet,
    data: Data | Batches,
    config: TrainConfig,
    sampler: Sampler | Adaptive | None = None,
    *,
    folder: FilePath,
    progress: TrainProgress | None = None,
    original: nn.Module | None = None,
    task: Task | None = None,
    paths: Sequence[Path] = (),
    weights: Sequence[float] = (),
) -> History:
    """Trains the supernet's weights in place, and resumes from the folder's checkpoint.

    Each step runs some paths on the same batch and averages their gradients. With distillation
    the largest path learns the labels and the others learn its outputs. Each step's chance
    depends on the seed and its number alone, so that a training that was killed at any time and
    started again ends with the same weights (on a CPU the same bits, with the same number of
    threads; a GPU rounds sums in any order). The models are where they were afterwards.
    Under ``torchrun`` the processes share each batch, and all run the same paths. But for rounding,
    and for norms and what drops out, which see the examples of one process, it is the training of
    one process; it may be resumed with another number of them.

    Args:
        sampler: stands in for the one that the configuration names.
        folder: for checkpoint and history; made if it is missing.
        original: a model that is trained already and that all paths learn from beside the labels
            (``config.teacher_share``); it stays as it is. None: they learn the labels.
        task: what the targets of batches mean that are no :class:`Data`, which have a task.
        paths: the only ones that are trained, and that shared scales are measured on: those that
            ship. They stand in for any sampler; ``config.thrift`` says how often each is drawn.
            None given: all, as the sampler draws them.
        weights: how often each of the paths is drawn, in any unit, instead of by its thrift.

    Returns:
        The whole history, steps from before a resumption included.

    Raises:
        ConfigError: there is no such device.
        TrainingError: the loss is not finite; the checkpoint is of another training; another
            process is gone.
        DataError: the data does not fit the supernet, or has no task.
    """
    device, mode = device_of(config.device), supernet.training
    models = [supernet, *filter(None, [original])]
    with (
        group() as ranks,
        using_threads(config.threads),
        chance_kept(device),
        on_device(device, *models),
    ):
        if isinstance(data, Data):
            check_fits(supernet, data, "train")
        whole = _batches(data, config, Processes())  # what the first process looks at alone
        if config.find_rate and paths:
            rate = found_rate(
                supernet,
                whole,
                config,
                paths,
                _task(data, task),
                original,
                FilePath(folder),
                ranks,
            )
            config = replace(config, learning_rate=rate)
        run = _Run(
            supernet,
            _batches(data, config, ranks),
            whole,
            config,
            sampler,
            FilePath(folder),
            ranks,
            {"train": data.train.fingerprint} if isinstance(data, Data) else {},
            original,
            _task(data, task),
            paths,
            weights,
        )
        try:
            with at_rest(*filter(None, [original])):
                return run.to_end(progress if ranks.rank == 0 else None)
        finally:
            supernet.train(mode)


class _Run:
    """One process's part in a training."""

    def __init__(
        self,
        supernet: Supernet,
        batches: Batches,
        whole: Batches,
        config: TrainConfig,
        sampler: Sampler | Adaptive | None,
        folder: FilePath,
        ranks: Processes,
        data_identity: Mapping[str, str],
        original: nn.Module | None,
        task: Task,
        paths: Sequence[Path],
        weights: Sequence[float],
    ) -> None:
        self.supernet, self.config = supernet, config
        self.batches, self.whole = batches, whole
        self.ranks, self.shipping = ranks, tuple(paths)
        essence = config.essence()
        if original is not None:
            essence["original"] = type(original).__name__
        if paths:
            essence["paths"] = [path.id for path in paths]
        if weights:
            essence["weights"] = list(weights)
        self.epoch_steps = batches.steps_per_epoch
        ranks.check_same(self.epoch_steps, "steps of an epoch", "give each as many batches")
        self.total = config.epochs * self.epoch_steps
        macs = mac_counter(supernet)
        if paths:
            sampler = (
                Shipping(tuple(paths), tuple(weights))
                if weights
                else Shipping.of(paths, [macs(path) for path in paths], config.thrift)
            )
        recipes = config.recipes(self.total)
        plan = PhasePlan(recipes, supernet, config.seed, sampler, config.recipe.key)
        identity = identity_of(supernet, essence, data_identity)
        self.learner = Learner(supernet, config, plan, identity, folder)
        self.steps = Steps(self.learner, config, task, ranks, self.total, macs, original)
        self.frozen_from = (config.epochs - config.frozen_epochs) * self.epoch_steps

    def to_end(self, progress: TrainProgress | None) -> History:
        self.learner.resume(self.ranks)
        history = self.learner.history
        began, first = time.monotonic(), len(history)
        saved = began
        self.supernet.train()
        for step, batch, fetched in self._batches(first):
            if step == self.frozen_from and self.config.frozen_epochs:
                self._share_scales()
            self.steps.take(step, batch, fetched)
            now, done = time.monotonic(), step + 1
            if done == self.total or now - saved >= self.config.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
            if progress is not None:
                left = (now - began) / (done - first) * (self.total - done)
                fields = {"learning_rate": self.config.rate(step, self.total), "seconds_left": left}
                if history.steps:  # on a GPU a loss is known some steps later
                    fields["loss"] = history.steps[-1].loss
                if self.steps.parts > self.config.accumulate:
                    fields["parts"] = self.steps.parts
                progress(done, self.total, fields)
        self.ranks.copy_from_first(self.supernet.buffers())
        self.learner.put_average()
        return history

    def _batches(self, first: int) -> Iterator[tuple[int, Batch, float]]:
        """Number, batch and the time at which fetching began, of each step still to do."""
        step = first
        while step < self.total:
            epoch, place = divmod(step, self.epoch_steps)
            fetched = time.perf_counter()
            for batch in on_time(self.batches.epoch(epoch, place), self.learner.device):
                yield step, batch, fetched
                step += 1
                fetched = time.perf_counter()
            if step != (epoch + 1) * self.epoch_steps:
                raise DataError(
                    f"epoch {epoch} did not have the promised number of batches",
                    expected=self.epoch_steps,
                    got=step - epoch * self.epoch_steps,
                )

    def _share_scales(self) -> None:
        if self.ranks.rank == 0:
            inputs = looked_at(self.whole.epoch(0), self.config.scale_images, self.learner.device)
            chance = random.Random(seed_of("scales", self.config.seed))
            paths = self.shipping or spread_paths(self.supernet.space, chance)
            share_scales(self.supernet, inputs, paths)
        self.ranks.copy_from_first(self.supernet.buffers())
        self.learner.forget_average()
        self.supernet.train()

    def _save(self) -> None:
        self.steps.note_all()
        if self.ranks.rank == 0:
            self.learner.save()


def _task(data: Data | Batches, given: Task | None) -> Task:
    found = data.judged_by if isinstance(data, Data) else given
    if found is None:
        raise DataError(
            "nothing says what the targets of these batches mean",
            where="task",
            expected="a task of tipsc.tasks",
            fix="give one to train(), as task=Classification(('cat', 'dog'))",
        )
    return found


def _batches(data: Data | Batches, config: TrainConfig, ranks: Processes) -> Batches:
    if not isinstance(data, Data):
        return data
    return Shuffled(
        data.train, config.batch_size, config.seed, data.augment, ranks.rank, ranks.ranks
    )
