"""Some steps of a training, to see how long all of it will take and what holds it up."""

from __future__ import annotations

import copy
import math
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Literal

import torch

from tipsc.batch import Batch
from tipsc.dtmc.samplers import Sampler
from tipsc.measure.resources import forget_peak, peak_mib
from tipsc.paths import Path, SearchSpace
from tipsc.pipeline.context import Project
from tipsc.progress import Progress
from tipsc.train import Adaptive, Batches, Shuffled, TrainConfig, sampler, train
from tipsc.train.device import device_of
from tipsc.train.fit import check_fits

SETTLING = 3  # steps that are not timed: processes start, memory is taken
_HELD_UP = 0.5  # of a step

Bound = Literal["data", "host", "device"]


@dataclass(frozen=True)
class Rehearsal:
    """What some steps took; times are means over those after the first :data:`SETTLING`.

    Attributes:
        device: of torch.
        seconds_a_step: from one step to the next.
        data_seconds: of a step, in which nothing but its batch was waited for. On a GPU another
            thread waits, two batches ahead.
        host_seconds: of a step, for drawing its paths; 0 with a sampler that learns.
        steps: of the whole training.
        peak_mib: memory of the process at most, or of a GPU what torch took of it; None where the
            system does not tell.
        bound: what takes most of a step: "data" that are not there in time, the "host" that draws
            paths and starts kernels, or the "device" that computes.
    """

    device: str
    seconds_a_step: float
    data_seconds: float
    host_seconds: float
    steps: int
    peak_mib: float | None
    bound: Bound

    @property
    def seconds(self) -> float:
        """Of the whole training."""
        return self.steps * self.seconds_a_step


def rehearse(
    project: Project, lessons: list[TrainConfig], steps: int, progress: Progress
) -> Rehearsal:
    """Trains a copy of the model for a few steps: the largest path, the smallest, then as drawn.
    Where the sampler learns, all are as drawn.

    Args:
        lessons: of the whole training, at least one; the first is rehearsed.
        steps: more than :data:`SETTLING`.
    """
    supernet, data = copy.deepcopy(project.untrained), project.data
    check_fits(supernet, data, "train")
    lesson = replace(lessons[0], frozen_epochs=0, phases=(), checkpoint_seconds=1e9)
    device = device_of(lesson.device)
    batches = _Timed(Shuffled(data.train, lesson.batch_size, lesson.seed, data.augment))
    given = sampler(lesson.sampler, supernet, lesson.seed, lesson.sampler_options)
    whole = sum(each.epochs for each in lessons) * batches.steps_per_epoch
    lesson = replace(lesson, epochs=max(lesson.epochs, math.ceil(steps / batches.steps_per_epoch)))
    times: list[float] = []
    pending = 0.0

    def told(done: int, total: int, fields: Mapping[str, float]) -> None:
        nonlocal pending
        progress(done, steps, "")
        if done == steps and device.type == "cuda":
            begin = time.perf_counter()
            torch.cuda.synchronize(device)
            pending = time.perf_counter() - begin
        times.append(time.perf_counter())
        if done == steps:
            raise _EnoughSteps

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    forget_peak()
    plain = None if isinstance(given, Adaptive) else _Ends(given, supernet.space)
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder, suppress(_EnoughSteps):
        train(
            supernet, batches, lesson, plain or given, folder=FilePath(folder), progress=told,
            original=project.model.original, task=data.judged_by,
        )  # fmt: skip
    took = times[-1] - times[SETTLING - 1]
    counted = len(times) - SETTLING
    step, waited = took / counted, sum(batches.waited[SETTLING : len(times)]) / counted
    host = 0.0 if plain is None else plain.seconds / len(times)
    on_gpu = device.type == "cuda"
    behind = on_gpu and pending < _HELD_UP * step  # the GPU has done all that it was asked for
    bound: Bound = "device"
    if waited > _HELD_UP * step:
        bound = "data"
    elif behind or host > _HELD_UP * step:
        bound = "host"
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else peak_mib()
    return Rehearsal(str(device), step, waited, host, whole, peak, bound)


class _EnoughSteps(Exception):
    """The rehearsal is over."""


@dataclass
class _Timed:
    """Batches, and how long each was waited for."""

    batches: Batches

    def __post_init__(self) -> None:
        self.waited: list[float] = []

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        begin = time.perf_counter()
        for batch in self.batches.epoch(number, first):
            self.waited.append(time.perf_counter() - begin)
            yield batch
            begin = time.perf_counter()


@dataclass
class _Ends:
    """Draws the largest and the smallest path before any other, and counts how long it takes."""

    sampler: Sampler
    space: SearchSpace
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._first = [self.space.largest, self.space.smallest]

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        begin = time.perf_counter()
        drawn = self.sampler.draw(generator, count)
        self.seconds += time.perf_counter() - begin
        return [self._first.pop(0)] if self._first else drawn
