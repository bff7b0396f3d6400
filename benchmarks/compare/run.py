"""One run: train one arm from one seed on a budget of compute, and assess it."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Tensor

from compare.arms import Arm
from compare.price import Prices
from compare.studies import Study, candidates, first
from tipsc.batch import Batch
from tipsc.elastic import Supernet, extract
from tipsc.paths import Path
from tipsc.train import Data, Shuffled, TrainConfig, quality_of, train
from tipsc.train.calibrate import measure
from tipsc.train.phases import PhasePlan
from tipsc.train.samplers import Adaptive, Losses, Probe, adaptive, sampler

_SIMULATED = 400  # steps that are drawn, not trained, to learn what a step costs


@dataclass
class Metered:
    """A sampler that also notes what the steps of its training cost."""

    inner: Adaptive
    prices: Prices
    steps: int = 0
    paid: float = 0.0

    def draw_with(self, generator: random.Random, count: int, probe: Probe) -> list[Path]:
        def counted(path: Path) -> float:
            self.paid += self.prices.of(path) * self.prices.forward_share
            return probe(path)

        return self.inner.draw_with(generator, count, counted)

    def observe(self, step: int, losses: Losses) -> None:
        self.inner.observe(step, losses)
        self.steps += 1
        self.paid += self.prices.update + sum(self.prices.of(path) for path, _ in losses)

    def state(self) -> Mapping[str, Tensor]:
        return self.inner.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.inner.load_state(state)


@dataclass(frozen=True)
class Endless:
    """A split's epochs one after another, as one epoch of so many steps."""

    epochs: Shuffled
    steps_per_epoch: int

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        done = 0
        while True:
            for batch in self.epochs.epoch(done // self.epochs.steps_per_epoch):
                if done == self.steps_per_epoch:
                    return
                yield batch
                done += 1


def metered(config: TrainConfig, supernet: Supernet, prices: Prices) -> Metered:
    """The sampler that a configuration names, with a meter."""
    named = sampler(config.sampler, supernet, config.seed, config.sampler_options)
    return Metered(adaptive(named), prices)


def steps_for(config: TrainConfig, supernet: Supernet, prices: Prices, seconds: float) -> int:
    """How many steps `seconds` of compute are, by drawing some hundred steps.

    Losses are made up: what an adaptive sampler draws costs what its target costs say.
    """
    meter = metered(config, supernet, prices)
    plan = PhasePlan(config.recipes(_SIMULATED), supernet, config.seed, meter, config.recipe.key)
    generator = random.Random(1)

    def loss(path: Path) -> float:
        return 1.0 / (1.0 + prices.of(path)) + generator.gauss(0, 0.01)

    for step in range(_SIMULATED):
        paths = plan.draw(step, generator, loss)
        plan.observe(step, [(path, loss(path)) for path in paths])
    return max(20, round(seconds * _SIMULATED / meter.paid))


def run(
    study: Study,
    arm: Arm,
    seed: int,
    rate: float,
    seconds: float,
    prices: Prices,
    latency: Mapping[str, float],
) -> dict[str, Any]:
    """Trains and assesses; a row of the results.

    The accuracy of each candidate path, own batch-norm statistics after calibration, is in
    ``validation`` and ``test``, by path id.
    """
    torch.set_num_threads(1)
    data, supernet = study.data(), study.supernet(seed)
    config = TrainConfig(
        epochs=1,
        frozen_epochs=0,
        batch_size=study.batch_size,
        learning_rate=rate,
        seed=seed,
        checkpoint_seconds=1e9,
        **arm.settings,
    )
    steps = steps_for(config, supernet, prices, seconds)
    meter = metered(config, supernet, prices)
    batches = Endless(Shuffled(data.train, study.batch_size, seed, data.augment), steps)
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        history = train(supernet, batches, config, meter, folder=FilePath(folder), task=data.task)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    validation, test = assess(study, supernet, data, latency)
    return {
        "study": study.name,
        "arm": arm.name,
        "seed": seed,
        "rate": rate,
        "seconds": seconds,
        "charged": round(meter.paid, 3),
        "cpu": round(cpu, 3),
        "wall": round(wall, 3),
        "steps": steps,
        "gmacs": round(history.macs * study.batch_size / 1e9, 3),
        "overhead": round(history.overhead, 5),
        "validation": validation,
        "test": test,
    }


def assess(
    study: Study, supernet: Supernet, data: Data, latency: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Validation accuracy of each candidate, and test accuracy where a budget may choose it.

    A budget chooses the best on validation data among the paths that fit, so only a path that is
    better there than all faster ones is ever chosen.
    """
    batches = data.calibration(study.calibration, 128)
    held = first(data.validation, study.validation)
    shown = first(data.test, study.test)
    validation: dict[str, float] = {}
    test: dict[str, float] = {}
    best = -1.0
    for path in sorted(candidates(study), key=lambda path: latency[path.id]):
        module = extract(supernet, path)
        measure(supernet, module, path, batches, own_scale=True)
        validation[path.id] = round(quality_of(module, held, data.task).value, 5)
        if validation[path.id] > best:
            best = validation[path.id]
            test[path.id] = round(quality_of(module, shown, data.task).value, 5)
    return validation, test
