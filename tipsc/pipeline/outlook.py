"""What each stage of a build will take on this machine: measured on a little, and multiplied.

A few training steps are done on a copy of the model; all else follows from the paths that
:mod:`tipsc.pipeline.precheck` has run. The figures are for plans (tonight, or over lunch), not for
comparisons: other work on the machine is in them.
"""

from __future__ import annotations

import bisect
import copy
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tipsc.batch import first, flat, mapped
from tipsc.elastic import extract
from tipsc.elastic.looking import at_rest, looking
from tipsc.measure.loop import MIN_RUNS
from tipsc.measure.pauses import EVERY_MS
from tipsc.measure.pauses import ROUNDS as PAUSES
from tipsc.measure.resources import forget_peak, peak_mib
from tipsc.paths import Path
from tipsc.pipeline.context import TargetProject
from tipsc.pipeline.profile import PROFILED_IMAGES, most_measured
from tipsc.pipeline.search import looks
from tipsc.pipeline.tried import CALIBRATED, Precheck
from tipsc.pipeline.worth import REPEATS
from tipsc.profile import Protocol
from tipsc.progress import silent
from tipsc.search.candidates import assess
from tipsc.search.halving import looked
from tipsc.train import TrainConfig
from tipsc.train.macs import mac_counter
from tipsc.train.passes import train_paths
from tipsc.train.rate import FEWEST, STEPS

_LONG_S = 0.4  # a step that takes longer is not made with a larger batch
_FEW = 2  # examples of the smallest batch
_MORE = 4  # times as many in the next one
_DRAWS = 3  # steps of a lesson that are timed
_RIVALS = 64  # paths among which one of about a quarter of the largest's MACs is sought
_LOOK_S = 0.1  # of torch, for a look at a path
_EVALUATED = 128  # examples that a path is calibrated and evaluated on at once


@dataclass(frozen=True)
class StageOutlook:
    """What a stage will take.

    Attributes:
        stage: its name.
        seconds: that it will take, roughly.
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

    What an engine takes depends on what is found in it: it is written again without paths that
    another one covers, and measured again where noise would decide that. Nobody knows before; said
    is the middle by ratio between the least and the most.

    Args:
        found: of the project, without a problem.
    """
    build, data, target = project.config.build, project.data, project.target
    torch_s = statistics.fmean(path.torch_s or 0.0 for path in found.paths)
    engine_s = statistics.fmean(path.engine_s or 0.0 for path in found.paths)
    path_s = max(0.0, found.calibrate_s - CALIBRATED * torch_s)  # whatever the number of images
    calibrated, validated = min(build.calibration_images, len(data.train)), len(data.validation)
    once_s, each_s = _look_of(project, torch_s)
    verified = min(build.verify_examples, len(data.test))
    space = project.untrained.space
    shipped = min(build.paths, space.size)
    looking_mib = _evaluating(project).peak_mib
    full_s = once_s + (calibrated + validated) * each_s
    step_s: dict[str, float] = {}
    stages = []

    def add(stage: str, seconds: float, mib: float | None, basis: str) -> None:
        stages.append(StageOutlook(stage, seconds, mib, basis))

    def steps_of(lesson: TrainConfig) -> int:
        return lesson.epochs * (len(data.train) // lesson.batch_size)

    def learning(stage: str, lesson: TrainConfig) -> None:
        steps, step = steps_of(lesson), _step_of(project, lesson)
        step_s[stage] = step.seconds
        is_tested = lesson.find_rate and len(data.train) // lesson.batch_size >= FEWEST
        tried = STEPS if is_tested else 0
        basis = f"{steps:,} steps of {step.seconds:.3g} s"
        if tried:
            basis += f", and {tried} to find the rate"
        add(stage, (steps + tried) * step.seconds, step.peak_mib, basis)

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
    later = project.lessons.epochs if project.lessons.narrow is not None else 0
    rough, full = looks(build, data, later)
    number = looked(evaluations, shipped, space.size, rough, full)
    look_s = [
        count * (once_s + rung.images * each_s)
        for count, rung in zip(number, (rough, full), strict=True)
    ]
    add("search", sum(look_s), looking_mib, f"{number[1]} paths evaluated, {number[0]} looked at")
    if project.lessons.narrow is not None:
        learning("narrow", project.lessons.narrow)
    shipping_s, basis = shipped * full_s, f"{shipped} paths calibrated"
    if build.share_loss is not None:
        steps = steps_of(project.lessons.last)
        shipping_s += steps * step_s["train" if project.lessons.narrow is None else "narrow"]
        basis += f" and trained by themselves, {steps:,} steps; more of those that lose"
    add("ship", shipping_s, looking_mib, basis)
    compared_s = found.compile_s + verified * (torch_s + engine_s)
    basis = f"{shipped} paths on {verified:,} examples"
    if project.plan.unbuilt:
        add("engine", found.export_s + shipped * compared_s, looking_mib, basis)
        return tuple(stages)
    plain = project.model.original is not None  # it is compiled and measured beside the engine
    alone_s = found.export_s + found.compile_s if plain else 0.0

    def timed_s(paths: int) -> float:
        return measuring_s(paths) + (measuring_s(1) if plain else 0.0)

    def written_s(paths: int) -> float:
        paused_s = paths * PAUSES * (EVERY_MS / 1e3 + engine_s)
        return found.export_s + paths * compared_s + alone_s + timed_s(paths) + paused_s

    least = written_s(shipped)
    most = least + REPEATS * timed_s(shipped)
    if shipped > 1:
        most += written_s(shipped - 1) + REPEATS * timed_s(shipped - 1)
    basis += f": {least:.3g} s to {most:.3g} s, by what is found"
    add("engine", math.sqrt(least * most), looking_mib, basis)
    return tuple(stages)


def _step_of(project: TargetProject, lesson: TrainConfig) -> Load:
    """A training step with the whole batch; where that takes long, from two smaller ones."""
    whole, examples = lesson.batch_size, min(_FEW, lesson.batch_size)
    found = {examples: _steps(project, lesson, examples)}
    while examples < whole and (found[examples].seconds < _LONG_S or len(found) < 2):
        examples = min(_MORE * examples, whole)
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
    takes most, and the mean seconds of one on such paths as the lesson trains.
    """
    data, supernet = project.data, copy.deepcopy(project.untrained)
    batch = first(data.train, examples)
    optimizer = torch.optim.AdamW(supernet.parameters(), lesson.learning_rate, fused=True)
    recipe, space, chance = lesson.recipe, supernet.space, random.Random(project.config.seed)
    supernet.train()

    def step(paths: Sequence[Path]) -> float:
        nonlocal batch
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
        return time.perf_counter() - begin

    with _chance_kept(), at_rest(*filter(None, [project.model.original])):
        forget_peak()
        step([space.largest])  # which is also the slow first one
        peak = peak_mib()
        if lesson is project.lessons.narrow:
            return Load(_narrow_step_s(project, lesson, step), peak)
        always = [space.largest] * recipe.with_largest + [space.smallest] * recipe.with_smallest
        drawn = [
            [space.sample_options(chance) for _ in range(recipe.paths_per_step)]
            for _ in range(_DRAWS)
        ]
        return Load(statistics.fmean(step([*paths, *always]) for paths in drawn), peak)


def _narrow_step_s(
    project: TargetProject, lesson: TrainConfig, step: Callable[[Sequence[Path]], float]
) -> float:
    """Mean seconds of a step on paths that will be chosen: as many, spread over their costs.

    Seconds are a straight line over the MACs of a path, through the largest and a cheap one.
    """
    space, macs = project.untrained.space, mac_counter(project.untrained)
    rivals = [space.sample_options(random.Random(seed)) for seed in range(_RIVALS)]
    rivals = sorted({space.smallest, space.largest, *rivals}, key=macs)
    costs = [macs(path) for path in rivals]
    cheap = rivals[bisect.bisect_left(costs, costs[-1] / 4)]
    (low, low_s), (high, high_s) = (
        (macs(path), min(step([path]) for _ in range(2))) for path in (cheap, space.largest)
    )
    slope = max(0.0, high_s - low_s) / (high - low) if high > low else 0.0
    count = max(2, min(project.config.build.paths, space.size))
    ratio = (costs[-1] / costs[0]) ** (1 / (count - 1))
    spread = [costs[0] * ratio**place for place in range(count)]
    weights = [cost**-lesson.thrift for cost in spread]
    mean = sum(c * w for c, w in zip(spread, weights, strict=True)) / sum(weights)
    return lesson.paths_per_step * max(0.1 * low_s, low_s + slope * (mean - low))


def _look_of(project: TargetProject, torch_s: float) -> tuple[float, float]:
    """Seconds to calibrate and evaluate a path: whatever the number of examples, and for each."""
    supernet, data = project.untrained, project.data
    path = supernet.space.sample_options(random.Random(project.config.seed))
    few = max(_FEW, min(_EVALUATED // 2, round(_LOOK_S / max(torch_s, 1e-6))))
    taken = {}
    with _chance_kept(), at_rest(supernet):
        for examples in (few, few, 3 * few):
            begin = time.perf_counter()
            assess(supernet, [path], data, examples, silent, examples, own_scale=True)
            taken[examples] = time.perf_counter() - begin
    each = max(0.0, taken[3 * few] - taken[few]) / (4 * few)
    return max(0.0, taken[few] - 2 * few * each), each


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
