"""How to train."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from tipsc.errors import ConfigError, near
from tipsc.train.device import DEVICES
from tipsc.train.passes import TEACHER_SHARE
from tipsc.train.phases import Phase, Recipe
from tipsc.train.precision import PRECISIONS
from tipsc.train.samplers import SAMPLERS
from tipsc.train.schedules import SCHEDULES, check_schedule, rate
from tipsc.train.torch_optimizers import OPTIMIZERS, check_optimizer

_WITHOUT_EFFECT = ("threads", "checkpoint_seconds", "device")
Range: TypeAlias = tuple[str, Callable[[Any], bool]]

#: what a setting may be: in words, and as a test
RANGES: Mapping[str, Range] = {
    "epochs": ("at least 0", lambda value: value >= 0),
    "batch_size": ("at least 1", lambda value: value >= 1),
    "accumulate": ("at least 1", lambda value: value >= 1),
    "clip_norm": ("above 0", lambda value: value is None or 0 < value < math.inf),
    "average": ("above 0, below 1", lambda value: value is None or 0 < value < 1),
    "learning_rate": ("above 0", lambda value: 0 < value < math.inf),
    "thrift": ("0 to 1", lambda value: 0 <= value <= 1),
    "weight_decay": ("at least 0", lambda value: 0 <= value < math.inf),
    "label_smoothing": ("at least 0, less than 1", lambda value: 0 <= value < 1),
    "teacher_share": ("0 to 1", lambda value: 0 <= value <= 1),
    "paths_per_step": ("at least 1", lambda value: value >= 1),
    "frozen_epochs": ("0 to epochs", lambda value: value >= 0),
    "scale_images": ("at least 1", lambda value: value >= 1),
    "threads": ("at least 1", lambda value: value is None or value >= 1),
    "checkpoint_seconds": ("at least 0", lambda value: value >= 0),
}
#: settings that are names, and the names
NAMES: Mapping[str, Collection[str]] = {
    "device": DEVICES,
    "precision": PRECISIONS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "sampler": SAMPLERS,
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of :func:`tipsc.train.train`.

    The defaults of what is drawn are what ``benchmarks/learning.py`` found best at equal compute:
    one path a step, from the cost-folded chain (docs/samplers.md).

    Attributes:
        epochs: passes over the training examples, the frozen ones included. 0: a model that was
            trained by somebody ships as it is, its paths calibrated and not trained. A
            configuration that does not say: 24 where only paths that ship are trained, else 12.
        batch_size: examples of one step, of all processes together.
        accumulate: parts of a step's batch that are run one after the other, where the whole of it
            does not fit into the device's memory. Norms then see a part at a time.
        device: that is trained and evaluated on: "cpu", "cuda", "mps", or "auto" for a GPU of CUDA
            where there is one. Checkpoints go from one to the other.
        precision: of products while training: "fp32", or on a GPU "bf16" or "fp16" (autocast).
            Weights, norms and losses stay in fp32, and so does every evaluation.
        clip_norm: a step's gradient, if its norm over all parameters is larger, is scaled down to
            this; null: it is not.
        average: what comes out are the weights averaged over the steps (exponential moving
            average): the share that the average keeps in a step, as 0.999; null: the last ones.
        optimizer: a class of ``torch.optim``, as AdamW (arXiv 1711.05101).
        optimizer_options: keyword arguments of it, as ``{betas: [0.9, 0.98]}``.
        learning_rate: the schedule's peak.
        find_rate: where only some paths are trained, their peak is found by a short range test
            (:mod:`tipsc.train.rate`), if an epoch has 48 batches or more. ``tipsc build`` does so
            for a model that was trained already if neither this nor a learning_rate is given.
        weight_decay: of matrices and filters; biases and norms have none.
        thrift: where only some paths are trained: 1 gives each as much compute, 0 as many steps.
        schedule: "one-cycle" (arXiv 1708.07120) rises over the first 30 % of the steps, "cosine"
            (arXiv 1608.03983) over the first 5 %; both then fall along a cosine to zero. Or a class
            of ``torch.optim.lr_scheduler``, stepped in each step.
        schedule_options: keyword arguments of torch's class, with lengths in steps; that of the
            whole schedule is the training's where it is not given.
        label_smoothing: of the hard labels (arXiv 1512.00567).
        teacher_share: of the loss of a converted model's paths that is against the original's
            answers; the rest is against the labels. Where there are no labels, all of it.
        paths_per_step: paths that the sampler draws for a step. The gradients of all paths of a
            step are averaged.
        distill: the largest path learns the labels and teaches the others of its step (in-place
            distillation, arXiv 1903.05134); it is added if the sampler did not draw it.
        with_largest: the largest path runs in every step, added if it was not drawn.
        with_smallest: the smallest path runs in every step.
        sampler: what draws the paths of a step, by name; a sampler given to
            :func:`tipsc.train.train` goes before it.
        sampler_options: of that sampler: keyword arguments of the function ``make`` of its file.
        phases: what changes over the training, in order; empty for one recipe throughout.
        frozen_epochs: the last epochs, trained with scales that all paths share (see
            :mod:`tipsc.train.scales`); no effect without batch norm. A configuration that does not
            say has at most as many as epochs; all of them where a trained model is no classifier.
        scale_images: examples that the shared scales are measured on, for some paths each. Large
            images take long, and a hundred are enough: each of their places counts.
        seed: of everything random in the training; initial weights are the caller's.
        cycle: from where to where in the schedule this training is, where it is a part of a longer
            one; as shares of the whole.
        threads: of torch; with none given they are left alone.
        checkpoint_seconds: time between checkpoints; 0 writes one after each step.
    """

    epochs: int = 12
    batch_size: int = 64
    accumulate: int = 1
    device: str = "auto"
    precision: str = "fp32"
    clip_norm: float | None = None
    average: float | None = None
    optimizer: str = "AdamW"
    optimizer_options: dict[str, Any] = field(default_factory=dict)
    learning_rate: float = 3e-3
    find_rate: bool = False
    weight_decay: float = 0.05
    thrift: float = 0.75
    schedule: str = "one-cycle"
    schedule_options: dict[str, Any] = field(default_factory=dict)
    label_smoothing: float = 0.0
    teacher_share: float = TEACHER_SHARE
    paths_per_step: int = 1
    distill: bool = False
    with_largest: bool = False
    with_smallest: bool = False
    sampler: str = "folded"
    sampler_options: dict[str, Any] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    frozen_epochs: int = 2
    scale_images: int = 1024
    seed: int = 0
    cycle: tuple[float, float] = (0.0, 1.0)
    threads: int | None = None
    checkpoint_seconds: float = 20.0

    def __post_init__(self) -> None:
        for name, (expected, is_valid) in RANGES.items():
            if not is_valid(getattr(self, name)):
                raise ConfigError(
                    "this is out of range",
                    where=f"train.{name}",
                    expected=expected,
                    got=getattr(self, name),
                )
        if self.frozen_epochs > self.epochs:
            raise ConfigError(
                "there are more frozen epochs than epochs, of which they are the last",
                where="train.frozen_epochs",
                expected=f"0 to {self.epochs}",
                got=self.frozen_epochs,
            )
        for name, known in NAMES.items():
            _check_known(getattr(self, name), known, f"train.{name}")
        check_optimizer(self.optimizer, self.optimizer_options)
        check_schedule(self.schedule, self.schedule_options)
        shares = [phase.share for phase in self.phases]
        if shares and not (min(shares) > 0 and abs(math.fsum(shares) - 1) < 1e-6):
            raise ConfigError(
                "the shares of train.phases are not a whole",
                where="train.phases",
                expected="each above 0, together 1",
                got=shares,
            )
        for place, recipe in enumerate(self._recipes() if self.phases else ()):
            where = f"train.phases.{place}"
            if recipe.paths_per_step < 1:
                raise ConfigError(
                    "this is out of range",
                    where=f"{where}.paths_per_step",
                    expected="at least 1",
                    got=recipe.paths_per_step,
                )
            _check_known(recipe.sampler, SAMPLERS, f"{where}.sampler")

    @property
    def recipe(self) -> Recipe:
        """What the steps do, where no phase says otherwise."""
        return self._recipe(Phase(share=1.0))

    def recipes(self, steps: int) -> list[tuple[int, Recipe]]:
        """First step and recipe of each phase of a training of `steps` steps."""
        ends = [
            round(steps * math.fsum(p.share for p in self.phases[: i + 1]))
            for i in range(len(self.phases))
        ]
        return list(zip([0, *ends], self._recipes(), strict=False))

    def _recipes(self) -> list[Recipe]:
        return [self._recipe(phase) for phase in self.phases or (Phase(share=1.0),)]

    def _recipe(self, phase: Phase) -> Recipe:
        names = ("paths_per_step", "distill", "with_largest", "with_smallest", "sampler")
        settings: dict[str, Any] = {
            name: getattr(self if getattr(phase, name) is None else phase, name) for name in names
        }
        options = phase.sampler_options
        if options is None:  # those of the whole training belong to its own sampler
            options = self.sampler_options if settings["sampler"] == self.sampler else {}
        return Recipe(**settings, sampler_options=options)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, from 0, of `steps`."""
        begin, end = self.cycle
        whole = steps / (end - begin)
        at, name = begin * whole + step, self.schedule
        return rate(name, self.schedule_options, self.learning_rate, at, whole)

    def essence(self) -> dict[str, object]:
        """The settings on which the trained weights depend."""
        return {k: v for k, v in asdict(self).items() if k not in _WITHOUT_EFFECT}


def _check_known(name: str, known: Collection[str], where: str) -> None:
    if name not in known:
        raise ConfigError(
            f"{name!r} is not known",
            where=where,
            expected=f"one of {', '.join(known)}",
            fix=near(name, known),
        )
