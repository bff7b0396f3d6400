"""A path that loses by sharing climbs: it gets what it lacks for itself, the cheapest first.

The measure is the path with all its weights its own, trained by itself for as long as each rung.
Rungs in order: biases, which cost next to nothing; scales of norms; the head; those layers that
gain most for their bytes, an eighth, then a quarter, then half of all; all. Each rung is trained
from what is shared, with what was kept of the rungs below it, and kept if it gains. A rung of
layers has those of the one below it in any case: what each gains may be too little to be seen.

How much a layer gains is estimated from the two ends: the mean of the gradients there, times how
far the layer moved between them. Over all layers that is what the loss fell by, to third order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from tipsc.batch import flat, in_order
from tipsc.elastic import Statistics, Supernet, extract
from tipsc.lower.parts import Part, Parts, parts_of, together
from tipsc.paths import Path
from tipsc.quality import Quality
from tipsc.train import Data, TrainConfig
from tipsc.train.paired import Appraisal, Gain, judge
from tipsc.train.private import train_private

#: of the weights of a path's layers, how many each rung of layers makes its own
SHARES = (0.125, 0.25, 0.5)
_BATCH = 256
_EXAMPLES = 2048  # that gradients are taken on


@dataclass(frozen=True)
class Stand:
    """A path with some parameters of its own.

    Attributes:
        values: numbers that the engine holds more than where the path shares all.
        statistics: of the path, with what is its own.
        judged: on validation data.
    """

    values: int
    statistics: Statistics
    judged: Appraisal

    @property
    def quality(self) -> Quality:
        """On validation data."""
        return self.judged.quality


@dataclass(frozen=True)
class Attempt:
    """What a path was tried with.

    Attributes:
        label: what was added to what was kept of the rungs below.
        stand: the path with that.
        gained: over the best rung below it.
        lost: what the path with all weights its own still has over it.
    """

    label: str
    stand: Stand
    gained: Gain
    lost: Gain

    @property
    def kept(self) -> bool:
        """Whether it is better than those below it, and not by chance."""
        return self.gained.exceeds(0.0)


@dataclass(frozen=True)
class Climb:
    """One path's way up.

    Attributes:
        path: the path.
        shared: with all weights shared.
        alone: with all weights its own.
        rungs: that were tried, in order; none if it does not lose by sharing.
        ships: what it ships with.
    """

    path: Path
    shared: Stand
    alone: Stand
    rungs: tuple[Attempt, ...]
    ships: Stand

    @property
    def lost(self) -> Gain:
        """What it loses by sharing."""
        return self.alone.judged.over(self.shared.judged)


@dataclass(frozen=True)
class Teaching:
    """How what is private is trained.

    Attributes:
        steps: of each training.
        limit: what a path may lose by sharing, in the unit of the quality.
        original: whose answers are learned beside the labels; None: the labels alone.
    """

    data: Data
    config: TrainConfig
    steps: int
    limit: float
    original: nn.Module | None = None


def climb(
    supernet: Supernet,
    path: Path,
    statistics: Statistics,
    teaching: Teaching,
    tell: Callable[[str], None] = lambda text: None,
) -> Climb:
    """Gives a path what it needs for itself to be as good as alone.

    Args:
        supernet: with the weights that ship; they stay as they are.
        statistics: of the path, from calibration.
        tell: is told what is being trained.

    Raises:
        TrainingError: a loss is not finite.
    """
    data, parts = teaching.data, parts_of(supernet, path)
    whole = parts.whole

    def standing(statistics: Statistics, values: int) -> Stand:
        module = extract(supernet, path, statistics)
        return Stand(values, statistics, judge(module, data.validation, data.judged_by))

    def tried(part: Part) -> Stand:
        tell(part.label)
        private = train_private(
            supernet, path, statistics, frozenset(part.names), data, teaching.config,
            teaching.steps, original=teaching.original,
        )  # fmt: skip
        return standing(private, part.values)

    shared, alone = standing(statistics, 0), tried(whole)

    def rung(label: str, stand: Stand, best: Stand) -> Attempt:
        left = alone.judged.over(stand.judged)
        return Attempt(label, stand, stand.judged.over(best.judged), left)

    rungs: list[Attempt] = []
    best, losing = shared, alone.judged.over(shared.judged)
    kept: tuple[Part, ...] = ()
    if losing.exceeds(teaching.limit):
        gains = layer_gains(supernet, path, statistics, alone.statistics, parts.layers, data)
        for label, added in rungs_of(parts, gains):
            on = tuple(dict.fromkeys((*kept, *added)))
            rungs.append(rung(label, tried(together(label, on)), best))
            if rungs[-1].kept:
                kept, best = on, rungs[-1].stand
            if not alone.judged.over(best.judged).exceeds(teaching.limit):
                break
        else:
            rungs.append(rung(whole.label, alone, best))
            best = alone if rungs[-1].kept else best
    return Climb(path, shared, alone, tuple(rungs), best)


def layer_gains(
    supernet: Supernet,
    path: Path,
    shared: Statistics,
    private: Statistics,
    layers: Sequence[Part],
    data: Data,
) -> list[float]:
    """By how much the loss on validation data falls by what each layer has for itself, about.

    Args:
        shared, private: of the path, without and with parameters of its own.
    """
    ends = [extract(supernet, path, statistics) for statistics in (shared, private)]
    for module in ends:
        _add_gradients(module, data)
    before, after = (dict(module.named_parameters()) for module in ends)

    def gain(name: str) -> float:
        slopes = [value.grad for value in (before[name], after[name]) if value.grad is not None]
        moved = before[name].detach() - after[name].detach()
        return sum(float((slope * moved).sum()) for slope in slopes) / 2

    return [sum(map(gain, layer.names)) for layer in layers]


def rungs_of(parts: Parts, gains: Sequence[float]) -> Iterator[tuple[str, tuple[Part, ...]]]:
    """What is tried, in order, with its name; all weights, the last, are not among it.

    Args:
        gains: of each layer.
    """
    for part in (parts.biases, parts.scales, parts.head):
        if part.names:
            yield part.label, (part,)
    layers, total = parts.layers, 0
    order = sorted(range(len(layers)), key=lambda i: gains[i] / layers[i].values, reverse=True)
    most = sum(layer.values for layer in layers)
    taken: list[Part] = []
    for share in SHARES:
        before = len(taken)
        while order and total < share * most:
            taken.append(layers[order.pop(0)])
            total += taken[-1].values
        if len(taken) > before and order:  # else they are all
            yield f"{len(taken)} of {len(layers)} layers", tuple(taken)


def _add_gradients(module: nn.Module, data: Data) -> None:
    """Of the mean loss of validation examples, in eval mode."""
    examples = data.validation
    device = next(module.parameters()).device
    for batch in in_order(examples, _BATCH, _EXAMPLES):
        there, share = batch.on(device), batch.examples / min(len(examples), _EXAMPLES)
        outputs = module(*flat(there.inputs))
        (data.judged_by.loss(outputs, there.targets) * share).backward()
