"""One step of a training: paths are drawn, learn a batch, and what they lost is noted."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from tipsc.batch import Batch
from tipsc.errors import TrainingError
from tipsc.paths import Path
from tipsc.tasks import Task
from tipsc.train import later
from tipsc.train.chance import seed_of
from tipsc.train.config import TrainConfig
from tipsc.train.device import seed
from tipsc.train.distributed import Processes
from tipsc.train.history import StepRecord
from tipsc.train.later import Later
from tipsc.train.learner import Learner
from tipsc.train.macs import Count
from tipsc.train.passes import Loss, Trial, train_paths

_LESS = "set train.accumulate: {}, or a smaller train.batch_size"
_SMALLER = "make the model or its inputs smaller, or set train.precision: bf16"


class Steps:
    """The steps of one process; all draw the same paths, and each has its part of a batch.

    Args:
        total: steps of the whole training.
        original: a model that is trained already and taught by.

    Attributes:
        parts: in which a batch is run: more than were asked for where a GPU's memory is short.
    """

    def __init__(
        self,
        learner: Learner,
        config: TrainConfig,
        task: Task,
        ranks: Processes,
        total: int,
        macs: Count,
        original: nn.Module | None,
    ) -> None:
        self.parts = config.accumulate
        self._learner, self._config, self._task = learner, config, task
        self._ranks, self._total, self._original = ranks, total, original
        self._macs = macs
        waits = learner.device.type != "cuda" or learner.plan.learns
        self._later = Later(0 if waits else later.STEPS)

    def take(self, step: int, batch: Batch, fetched: float) -> None:
        """Step number `step`.

        Args:
            fetched: the time at which fetching the batch began.

        Raises:
            TrainingError: the loss of this step, or of one shortly before, is not finite; the
                memory does not hold a step; another process is gone.
        """
        learner, chance, rank = self._learner, self._config.seed, self._ranks.rank
        drawing = time.perf_counter()
        seed(learner.device, seed_of("torch", chance, step, rank))
        trial = Trial(learner.supernet, batch, self._task, learner.precision)
        generator = random.Random(seed_of("paths", chance, step))

        def probe(path: Path) -> float:
            return self._ranks.mean(trial(path), batch.examples)

        paths = learner.plan.draw(step, generator, probe)
        rate = self._config.rate(step, self._total)
        computing = time.perf_counter()
        while (losses := self._losses(step, batch, paths)) is None:
            self._use_less(step, batch)
            seed(learner.device, seed_of("torch", chance, step, rank))
        lost = [*(loss.trained for loss in losses), *(loss.labels for loss in losses)]
        lost = self._ranks.average(learner.parameters, lost, batch.examples)
        learner.move(rate, self._config.clip_norm)
        booking = time.perf_counter()
        macs = math.fsum(self._macs(path) for path in paths)
        trial_macs = math.fsum(self._macs(path) for path in trial.ran)
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
        self._later.read(lost, partial(self._note, record, paths))

    def note_all(self) -> None:
        """All losses that are still on their way from a GPU."""
        self._later.read_all()

    def _losses(self, step: int, batch: Batch, paths: list[Path]) -> list[Loss] | None:
        """With their gradients; None where the GPU's memory does not hold these."""
        learner = self._learner
        learner.forget_gradients()
        try:
            return train_paths(
                learner.supernet,
                batch,
                paths,
                self._task,
                distill=learner.plan.recipe(step).distill,
                label_smoothing=self._config.label_smoothing,
                original=self._original,
                teacher_share=self._config.teacher_share,
                precision=learner.precision,
                accumulate=self.parts,
            )
        except torch.OutOfMemoryError:
            return None  # what the error's frames hold is free when this has returned

    def _use_less(self, step: int, batch: Batch) -> None:
        """Batches are run in twice as many parts from now on."""
        self._learner.forget_gradients()
        if self._learner.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.parts >= batch.examples or self._ranks.ranks > 1:
            raise TrainingError(
                "the GPU's memory does not hold a step",
                where=f"step {step} of {self._total}",
                got=f"{batch.examples} examples in {self.parts} parts",
                fix=_LESS.format(2 * self.parts) if self.parts < batch.examples else _SMALLER,
            )
        self.parts = min(2 * self.parts, batch.examples)

    def _note(self, record: StepRecord, paths: Sequence[Path], lost: Sequence[float]) -> None:
        """Books a step whose losses are known: of each path as it was trained, then of each
        against the labels."""
        began = time.perf_counter()
        trained, labels = lost[: len(paths)], lost[len(paths) :]
        mean = sum(trained) / len(paths)
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss is {mean}",
                where=f"step {record.step} of {self._total}, "
                f"learning rate {record.learning_rate:.3g}",
                fix="lower learning_rate, or look for extreme values in the data",
            )
        plan, space = self._learner.plan, self._learner.supernet.space
        plan.observe(record.step, list(zip(paths, labels, strict=True)))
        by_path = dict(zip(paths, trained, strict=True))
        booked = time.perf_counter() - began
        self._learner.history.steps.append(
            replace(
                record,
                loss=mean,
                largest=by_path.get(space.largest, math.nan),
                smallest=by_path.get(space.smallest, math.nan),
                seconds=record.seconds + booked,
                overhead_seconds=record.overhead_seconds + booked,
            )
        )
