"""The training loop of a supernet."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path as FilePath
from typing import Protocol

import torch
from torch import nn

from tipsc.batch import Batch, Tensors, count, flat, joined, placed, rows, split
from tipsc.dtmc.samplers import Sampler
from tipsc.dtmc.shipping import Shipping
from tipsc.elastic import Supernet
from tipsc.elastic.looking import at_rest
from tipsc.errors import DataError, TrainingError
from tipsc.paths import Path
from tipsc.tasks import Task
from tipsc.train import checkpoint as checkpoints
from tipsc.train import later
from tipsc.train.ahead import on_time
from tipsc.train.average import Average
from tipsc.train.chance import seed_of
from tipsc.train.checkpoint import Checkpoint
from tipsc.train.config import TrainConfig
from tipsc.train.data import Batches, Data, Shuffled
from tipsc.train.device import chance_kept, device_of, on_device, seed
from tipsc.train.distributed import Processes, group
from tipsc.train.fit import check_fits
from tipsc.train.history import History, StepRecord
from tipsc.train.later import Later
from tipsc.train.macs import mac_counter
from tipsc.train.optimizer import optimizer_of
from tipsc.train.passes import Loss, Trial, train_paths
from tipsc.train.phases import PhasePlan
from tipsc.train.precision import Precision
from tipsc.train.rate import found_rate
from tipsc.train.samplers import Adaptive
from tipsc.train.scales import share_scales, spread_paths

HISTORY_FILE = "history.jsonl"
_LESS = "set train.accumulate: {}, or a smaller train.batch_size"
_SMALLER = "make the model or its inputs smaller, or set train.precision: bf16"
_CALIBRATION_BATCH = 512
_CALIBRATION_VALUES = 2**24  # of a batch: activations of large images take much memory


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
) -> History:
    """Trains the supernet's weights in place, and resumes from the folder's checkpoint.

    Each step runs some paths on the same batch and averages their gradients. With distillation
    the largest path learns the labels and the others learn its outputs. Each step's chance
    depends on the seed and its number alone, so that a training that was killed at any time and
    started again ends with the same weights (on a CPU the same bits, with the same number of
    threads; a GPU rounds sums in any order). The models are where they were afterwards.
    Under ``torchrun`` each process draws its own paths and has its own part of the data. An
    adaptive sampler then learns in each process from that process's losses alone, and only the
    first one's state is kept: after a resumption all processes go on from it.

    Args:
        sampler: stands in for the one that the configuration names.
        folder: for checkpoint and history; made if it is missing.
        original: a model that is trained already and that all paths learn from beside the labels
            (``config.teacher_share``); it stays as it is. None: they learn the labels.
        task: what the targets of batches mean that are no :class:`Data`, which have a task.
        paths: the only ones that are trained, and that shared scales are measured on: those that
            ship. They stand in for any sampler; ``config.thrift`` says how often each is drawn.
            None given: all, as the sampler draws them.

    Returns:
        The whole history, steps from before a resumption included.

    Raises:
        ConfigError: there is no such device.
        TrainingError: the loss is not finite, or the checkpoint is of another training.
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
        batches = _batches(supernet, data, config, ranks)
        if config.find_rate and paths:
            rate = found_rate(
                supernet,
                batches,
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
            batches,
            config,
            sampler,
            FilePath(folder),
            ranks,
            {"train": data.train.fingerprint} if isinstance(data, Data) else {},
            original,
            _task(data, task),
            paths,
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
        config: TrainConfig,
        sampler: Sampler | Adaptive | None,
        folder: FilePath,
        ranks: Processes,
        data_identity: Mapping[str, str],
        original: nn.Module | None,
        task: Task,
        paths: Sequence[Path],
    ) -> None:
        self.supernet, self.batches, self.config = supernet, batches, config
        self.shipping = tuple(paths)
        self.original, self.task = original, task
        self.folder, self.ranks = folder, ranks
        self.device = next(supernet.parameters()).device
        self.parameters = [p for p in supernet.parameters() if p.requires_grad]
        self.optimizer = optimizer_of(self.parameters, config)
        essence = {**config.essence(), "processes": ranks.ranks}
        if original is not None:
            essence["original"] = type(original).__name__
        if paths:
            essence["paths"] = [path.id for path in paths]
        self.identity = checkpoints.identity_of(supernet, essence, data_identity)
        self.history = History()
        self.epoch_steps = batches.steps_per_epoch
        self.total = config.epochs * self.epoch_steps
        self.macs = mac_counter(supernet)
        if paths:
            sampler = Shipping.of(paths, [self.macs(path) for path in paths], config.thrift)
        recipes = config.recipes(self.total)
        self.plan = PhasePlan(recipes, supernet, config.seed, sampler, config.recipe.key)
        self.precision = Precision(config.precision, self.device)
        self.parts = config.accumulate
        self.average: Average | None = None
        if config.average is not None:
            self.average = Average(self.parameters, config.average)
        waits = self.device.type != "cuda" or self.plan.learns
        self.later = Later(0 if waits else later.STEPS)
        self.frozen_from = (config.epochs - config.frozen_epochs) * self.epoch_steps

    def to_end(self, progress: TrainProgress | None) -> History:
        self._resume()
        began, first = time.monotonic(), len(self.history)
        saved = began
        self.supernet.train()
        for step, batch, fetched in self._steps(first):
            if step == self.frozen_from and self.config.frozen_epochs:
                self._share_scales()
            self._step(step, batch, fetched)
            now, done = time.monotonic(), step + 1
            if done == self.total or now - saved >= self.config.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
            if progress is not None:
                left = (now - began) / (done - first) * (self.total - done)
                fields = {"learning_rate": self.config.rate(step, self.total), "seconds_left": left}
                if self.history.steps:  # on a GPU a loss is known some steps later
                    fields["loss"] = self.history.steps[-1].loss
                if self.parts > self.config.accumulate:
                    fields["parts"] = self.parts
                progress(done, self.total, fields)
        self.ranks.copy_from_first(self.supernet.buffers())
        if self.average is not None:
            self.average.put()
        return self.history

    def _steps(self, first: int) -> Iterator[tuple[int, Batch, float]]:
        """Number, batch and the time at which fetching began, of each step still to do."""
        step = first
        while step < self.total:
            epoch, place = divmod(step, self.epoch_steps)
            fetched = time.perf_counter()
            for batch in on_time(self.batches.epoch(epoch, place), self.device):
                yield step, batch, fetched
                step += 1
                fetched = time.perf_counter()
            if step != (epoch + 1) * self.epoch_steps:
                raise DataError(
                    f"epoch {epoch} did not have the promised number of batches",
                    expected=self.epoch_steps,
                    got=step - epoch * self.epoch_steps,
                )

    def _step(self, step: int, batch: Batch, fetched: float) -> None:
        drawing = time.perf_counter()
        rank, chance = self.ranks.rank, self.config.seed
        seed(self.device, seed_of("torch", chance, step, rank))
        trial = Trial(self.supernet, batch, self.task, self.precision)
        generator = random.Random(seed_of("paths", chance, step, rank))
        paths = self.plan.draw(step, generator, trial)
        rate = self.config.rate(step, self.total)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        computing = time.perf_counter()
        while (losses := self._losses(step, batch, paths)) is None:
            self._use_less(step, batch)
            seed(self.device, seed_of("torch", chance, step, rank))
        mean = torch.stack([loss.trained for loss in losses]).mean()
        mean = self.ranks.average(self.parameters, mean)
        self.precision.step(self.optimizer, self.parameters, self.config.clip_norm)
        if self.average is not None:
            self.average.add()
        booking = time.perf_counter()
        macs = math.fsum(self.macs(path) for path in paths)
        trial_macs = math.fsum(self.macs(path) for path in trial.ran)
        end = time.perf_counter()
        record = StepRecord(
            step=step,
            loss=math.nan,
            largest=math.nan,
            smallest=math.nan,
            learning_rate=rate,
            seconds=end - fetched,
            overhead_seconds=computing - drawing + end - booking,
            trial_seconds=trial.seconds,
            macs=macs,
            trial_macs=trial_macs,
        )
        trained, labels = [loss.trained for loss in losses], [loss.labels for loss in losses]
        self.later.read([mean, *trained, *labels], partial(self._note, record, paths))

    def _losses(self, step: int, batch: Batch, paths: list[Path]) -> list[Loss] | None:
        """With their gradients; None where the GPU's memory does not hold these."""
        self.optimizer.zero_grad(set_to_none=True)
        try:
            return train_paths(
                self.supernet,
                batch,
                paths,
                self.task,
                distill=self.plan.recipe(step).distill,
                label_smoothing=self.config.label_smoothing,
                original=self.original,
                teacher_share=self.config.teacher_share,
                precision=self.precision,
                accumulate=self.parts,
            )
        except torch.OutOfMemoryError:
            return None  # what the error's frames hold is free when this has returned

    def _use_less(self, step: int, batch: Batch) -> None:
        """Batches are run in twice as many parts from now on."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.parts >= batch.examples or self.ranks.ranks > 1:
            raise TrainingError(
                "the GPU's memory does not hold a step",
                where=f"step {step} of {self.total}",
                got=f"{batch.examples} examples in {self.parts} parts",
                fix=_LESS.format(2 * self.parts) if self.parts < batch.examples else _SMALLER,
            )
        self.parts = min(2 * self.parts, batch.examples)

    def _note(self, record: StepRecord, paths: Sequence[Path], lost: Sequence[float]) -> None:
        """Books a step whose losses are known: the mean, then of each path, as it was trained and
        against the labels."""
        began, mean = time.perf_counter(), lost[0]
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss is {mean}",
                where=f"step {record.step} of {self.total}, "
                f"learning rate {record.learning_rate:.3g}",
                fix="lower learning_rate, or look for extreme values in the data",
            )
        trained, labels = lost[1 : 1 + len(paths)], lost[1 + len(paths) :]
        self.plan.observe(record.step, list(zip(paths, labels, strict=True)))
        by_path, space = dict(zip(paths, trained, strict=True)), self.supernet.space
        booked = time.perf_counter() - began
        self.history.steps.append(
            replace(
                record,
                loss=mean,
                largest=by_path.get(space.largest, math.nan),
                smallest=by_path.get(space.smallest, math.nan),
                seconds=record.seconds + booked,
                overhead_seconds=record.overhead_seconds + booked,
            )
        )

    def _share_scales(self) -> None:
        if self.ranks.rank == 0:
            found: list[Tensors] = []
            for inputs, _ in self.batches.epoch(0):
                found.append(placed(inputs, self.device))
                if sum(map(count, found)) >= self.config.scale_images:
                    break
            inputs = rows(joined(found), slice(self.config.scale_images))
            values = sum(tensor[0].numel() for tensor in flat(inputs))
            size = min(_CALIBRATION_BATCH, max(16, _CALIBRATION_VALUES // values))
            chance = random.Random(seed_of("scales", self.config.seed))
            paths = self.shipping or spread_paths(self.supernet.space, chance)
            share_scales(self.supernet, list(split(inputs, size)), paths)
        self.ranks.copy_from_first(self.supernet.buffers())
        if self.average is not None:
            self.average.restart()  # those before are of other scales
        self.supernet.train()

    def _resume(self) -> None:
        """All ranks start from the checkpoint of rank 0, or from its initial weights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = checkpoints.read(self.folder) if self.ranks.rank == 0 else None
        data = self.ranks.from_first(data)
        if data is None:
            self.ranks.copy_from_first(self.supernet.state_dict().values())
            if self.average is not None:
                self.average.restart()
            return
        where = str(self.folder / checkpoints.FILE)
        found = Checkpoint.from_bytes(data, where)
        found.check(self.identity, where)
        self.supernet.load_state_dict(dict(found.model))
        self.optimizer.load_state_dict(dict(found.optimizer))
        self.history = History.from_tensor(found.history)
        self.plan.load_state(found.samplers, where)
        self.precision.load_state(found.scaler)
        if self.average is not None:
            self.average.load_state(found.average)

    def _save(self) -> None:
        self.later.read_all()
        if self.ranks.rank == 0:
            state = Checkpoint(
                self.identity,
                len(self.history),
                self.supernet.state_dict(),
                self.optimizer.state_dict(),
                self.history.to_tensor(),
                self.plan.state(),
                self.precision.state(),
                {} if self.average is None else self.average.state(),
            )
            checkpoints.write_whole(self.folder / checkpoints.FILE, state.to_bytes())
            checkpoints.write_whole(self.folder / HISTORY_FILE, self.history.to_lines().encode())


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


def _batches(
    supernet: Supernet, data: Data | Batches, config: TrainConfig, ranks: Processes
) -> Batches:
    if not isinstance(data, Data):
        return data
    check_fits(supernet, data, "train")
    return Shuffled(
        data.train, config.batch_size, config.seed, data.augment, ranks.rank, ranks.ranks
    )


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Inside, torch has so many threads; None: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
