"""What each stage of a build will take on this machine: measured on a little, and multiplied.

A few training steps are done on a copy of the model; all else follows from the paths that
:mod:`tipsc.pipeline.precheck` has run. The figures are for plans (tonight, or over lunch), not for
comparisons: other work on the machine is in them.
"""

from __future__ import annotations

import copy
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tipsc.batch import first, flat, mapped
from tipsc.elastic import extract
from tipsc.elastic.looking import at_rest, looking
from tipsc.measure.loop import MIN_RUNS
from tipsc.measure.resources import forget_peak, peak_mib
from tipsc.pipeline.context import TargetProject
from tipsc.pipeline.profile import PROFILED_IMAGES, most_measured
from tipsc.pipeline.tried import CALIBRATED, Precheck
from tipsc.profile import Protocol
from tipsc.train import TrainConfig
from tipsc.train.passes import train_paths

_LONG_S = 0.4  # a step that takes longer is not made with a larger batch
_FEW = 2  # examples of the smaller of two batches
_EVALUATED = 128  # examples that a path is calibrated and evaluated on at once


@dataclass(frozen=True)
class StageOutlook:
    """What a stage will take.

    Attributes:
        stage: its name.
        seconds: that it will take, roughly; at most, for the search.
        peak_mib: memory of the process, in MiB; None where the system does not tell.
        basis: what the seconds are made of.
    """

    stage: str
    seconds: float
    peak_mib: float | None
    basis: str


@dataclass(frozen=True)
class Load:
    """Seconds and MiB of something that is done with a batch."""

    seconds: float
    peak_mib: float | None


def outlook_of(project: TargetProject, found: Precheck) -> tuple[StageOutlook, ...]:
    """What each stage of a build will take, in their order.

    Args:
        found: of the project, without a problem.
    """
    build, data, target = project.config.build, project.data, project.target
    torch_s = statistics.fmean(path.torch_s or 0.0 for path in found.paths)
    engine_s = statistics.fmean(path.engine_s or 0.0 for path in found.paths)
    path_s = max(0.0, found.calibrate_s - CALIBRATED * torch_s)  # whatever the number of images
    calibrated, validated = min(build.calibration_images, len(data.train)), len(data.validation)
    full_s = path_s + (calibrated + validated) * torch_s
    verified = min(build.verify_examples, len(data.test))
    space = project.untrained.space
    shipped = min(build.paths, space.size)
    looking_mib = _evaluating(project).peak_mib
    step = _step_of(project) if project.lessons.epochs else Load(0.0, None)
    stages = []

    def add(stage: str, seconds: float, mib: float | None, basis: str) -> None:
        stages.append(StageOutlook(stage, seconds, mib, basis))

    def steps_of(lesson: TrainConfig) -> int:
        return lesson.epochs * (len(data.train) // lesson.batch_size)

    def learning(stage: str, lesson: TrainConfig) -> None:
        steps = steps_of(lesson)
        add(stage, steps * step.seconds, step.peak_mib, f"{steps:,} steps of {step.seconds:.3g} s")

    def measuring_s(paths: int) -> float:
        protocol = Protocol.for_target(target)
        visit_ms = max(protocol.batch_ms, MIN_RUNS * 1e3 * engine_s) + 1e3 * engine_s
        each_ms = protocol.warm_up_ms + protocol.rounds * visit_ms
        return min(protocol.time_limit_s, paths * each_ms / 1e3)

    if project.lessons.wide is not None:
        learning("train", project.lessons.wide)
    if not project.plan.unbuilt:
        paths = min(most_measured(project), space.size)
        compiling = found.export_s + paths * (found.compile_s + path_s + PROFILED_IMAGES * torch_s)
        add("profile", compiling + measuring_s(paths), looking_mib, f"{paths} paths measured")
    evaluations = min(build.evaluations, space.size)
    add("search", evaluations * full_s, looking_mib, f"at most {evaluations} evaluations")
    if project.lessons.narrow is not None:
        learning("narrow", project.lessons.narrow)
    shipping_s, basis = shipped * full_s, f"{shipped} paths calibrated"
    if build.share_loss is not None:
        steps = steps_of(project.lessons.last)
        shipping_s += steps * step.seconds
        basis += f" and trained by themselves, {steps:,} steps; more of those that lose"
    add("ship", shipping_s, looking_mib, basis)
    engine = found.export_s + shipped * (found.compile_s + verified * (torch_s + engine_s))
    if not project.plan.unbuilt:
        engine += measuring_s(shipped)
    add("engine", engine, looking_mib, f"{shipped} paths on {verified} examples")
    return tuple(stages)


def _step_of(project: TargetProject) -> Load:
    """A training step with the whole batch; where that takes long, from two smaller ones."""
    lesson = project.lessons.wide or project.lessons.narrow
    assert lesson is not None
    whole, examples = lesson.batch_size, min(_FEW, lesson.batch_size)
    found = {examples: _steps(project, lesson, examples)}
    while examples < whole and (found[examples].seconds < _LONG_S or len(found) < 2):
        examples = min(2 * examples, whole)
        found[examples] = _steps(project, lesson, examples)
    return _at(whole, found)


def _at(size: int, found: dict[int, Load]) -> Load:
    """What it is at a batch of `size`: a straight line through the two largest."""
    last = max(found)
    if size <= last or len(found) < 2:
        return found[last]
    before = max(number for number in found if number < last)
    share = (size - last) / (last - before)

    def along(now: float, then: float) -> float:
        return now + share * max(0.0, now - then)

    now, then = found[last], found[before]
    known = now.peak_mib is not None and then.peak_mib is not None
    return Load(
        along(now.seconds, then.seconds),
        along(now.peak_mib or 0.0, then.peak_mib or 0.0) if known else None,
    )


def _steps(project: TargetProject, lesson: TrainConfig, examples: int) -> Load:
    """Steps with so many examples on a copy of the model: memory of one on the largest path, which
    takes most, and seconds of one on a random path.
    """
    data, supernet = project.data, copy.deepcopy(project.untrained)
    batch = first(data.train, examples)
    optimizer = torch.optim.AdamW(supernet.parameters(), lesson.learning_rate, fused=True)
    recipe, space, chance = lesson.recipe, supernet.space, random.Random(project.config.seed)
    drawn = [space.sample_options(chance) for _ in range(recipe.paths_per_step)]
    always = [space.largest] * recipe.with_largest + [space.smallest] * recipe.with_smallest
    supernet.train()
    with _chance_kept(), at_rest(*filter(None, [project.model.original])):
        forget_peak()
        for paths in ([space.largest], [*drawn, *always]):
            begin = time.perf_counter()
            if data.augment is not None:
                changed = mapped(Tensor.clone, batch.inputs)
                changed = data.augment(changed, torch.Generator().manual_seed(0))
                batch = batch._replace(inputs=changed)
            optimizer.zero_grad(set_to_none=True)
            train_paths(
                supernet,
                batch.on(torch.device("cpu")),
                list(dict.fromkeys(paths)),
                data.judged_by,
                distill=recipe.distill,
                label_smoothing=lesson.label_smoothing,
                original=project.model.original,
                teacher_share=lesson.teacher_share,
            )
            optimizer.step()
        return Load(time.perf_counter() - begin, peak_mib())


def _evaluating(project: TargetProject) -> Load:
    """The largest path on as many examples as are evaluated at once."""
    net = extract(project.untrained, project.untrained.space.largest)
    train, found = project.data.train, {}
    for examples in (2, 8):
        forget_peak()
        with looking(net):
            net(*flat(first(train, examples).inputs))
        found[examples] = Load(0.0, peak_mib())
    return _at(min(_EVALUATED, len(train)), found)


@contextmanager
def _chance_kept() -> Iterator[None]:
    """Inside, code of the user's may draw from any generator: it goes on as it was."""
    plain, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)
