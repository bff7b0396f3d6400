"""What the stages of a build work on: the user's project, and the device that it is built for.

A stage is a :class:`StageSpec`; :meth:`Project.done` does it unless it was done before. What
several stages need, and what no stage keeps in a file, is made here once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Generic, TypeVar

from tipsc.backends import BACKENDS
from tipsc.convert import ConvertedSupernet
from tipsc.convert.report import Report
from tipsc.device.measuring import Device, ThisMachine
from tipsc.elastic import Supernet, additive_totals
from tipsc.engine.atomic import write_atomically
from tipsc.errors import TargetError, near
from tipsc.factors import Additive
from tipsc.fingerprint.values import fingerprint
from tipsc.paths import Path
from tipsc.pipeline.like import Like
from tipsc.pipeline.plan import BuildPlan, plan_of
from tipsc.pipeline.stages import StageDone, Stages
from tipsc.profile import profile_file as _published
from tipsc.progress import Progress, Reporter, Silent
from tipsc.project.config import Config, load_config
from tipsc.project.lessons import Lessons, lessons_of
from tipsc.project.loading import Model, check_fit, load_model
from tipsc.project.target import Target, load_target, waiting
from tipsc.train import Data
from tipsc.train.device import device_of, on_device

COMPILED = "compiled"  # a folder: what compilers keep from one engine to the next

_P = TypeVar("_P", bound="Project")
_Needed = TypeVar("_Needed", bound="Project", contravariant=True)


@dataclass(frozen=True)
class StageSpec(Generic[_Needed]):
    """A stage as it is written down.

    Attributes:
        name: of the stage.
        inputs: everything that its result depends on, JSON-able; the key is made of it. What it
            asks for of other stages is done first.
        make: writes its files into a folder, and says how far it is.
        resumable: `make` can go on from what an earlier, killed run left in the folder.
        noise: of what was measured in a folder, what makes it doubtful; "" for nothing. Where the
            target waits for a quiet device, what is doubtful is made again.
    """

    name: str
    inputs: Callable[[_Needed], Mapping[str, object]]
    make: Callable[[_Needed, FilePath, Progress], None]
    resumable: bool = False
    noise: Callable[[FilePath], str] | None = None


class Project:
    """The model and data of a configuration, without a target.

    Args:
        config_file: tipsc.yaml, or a folder that has one.
        reporter: is told how far it is.

    Raises:
        ConfigError: the configuration is not valid.
    """

    def __init__(self, config_file: str | FilePath, *, reporter: Reporter | None = None) -> None:
        self.config: Config
        self.config_file = FilePath(config_file)
        self.config, self.folder = load_config(config_file)
        self.reporter = reporter or Silent()
        self.runs = self.folder / "runs" / self.config.name
        self.stages = Stages(self.runs)
        self._done: dict[str, StageDone] = {}

    def done(self: _P, spec: StageSpec[_P]) -> StageDone:
        """The stage, once in the life of this object; now, unless its files are there."""
        if spec.name not in self._done:
            inputs = spec.inputs(self)
            progress = self.reporter.begin(spec.name)
            with self.config.placing():
                stage = self.stages.run(
                    spec.name,
                    inputs,
                    lambda folder: spec.make(self, folder, progress),
                    resumable=spec.resumable,
                    good=lambda folder: spec.noise is None or self.may_stay(spec.noise(folder)),
                )
            self.reporter.end(spec.name, stage.seconds, cached=stage.cached)
            self._done[spec.name] = stage
        return self._done[spec.name]

    def may_stay(self, noise: str) -> bool:
        """Whether what was measured with this noise is good enough."""
        return True

    @cached_property
    def model(self) -> Model:
        """The supernet as it was made, the data, and the original of a converted model."""
        progress, began = self.reporter.begin("model"), time.perf_counter()
        model = load_model(self.config, self.folder, progress)
        self.reporter.end("model", time.perf_counter() - began, cached=False)
        return model

    @property
    def data(self) -> Data:
        """The user's data."""
        return self.model.data

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """Inside, the supernet and the original are where the configuration trains."""
        models = [self.untrained, *filter(None, [self.model.original])]
        with on_device(device_of(self.config.training.device), *models):
            yield

    @cached_property
    def task_key(self) -> list[str]:
        """What the task is, with the code of one of the user's own."""
        task = self.data.judged_by
        return [task.name, task.measure, fingerprint(task)]

    @cached_property
    def untrained(self) -> Supernet:
        """The supernet with its initial weights, and data that it can take.

        :func:`tipsc.pipeline.train.trained_supernet` is the same object with other weights, and so
        is :func:`tipsc.pipeline.narrow.narrowed_supernet`.
        """
        check_fit(self.config, self.model.supernet, self.data)
        return self.model.supernet

    @cached_property
    def made_of(self) -> str:
        """A digest of the model as it came: a converted one by what it computes, not by its code.

        Taken before anything is trained, whatever the weights are by now.
        """
        supernet = self.untrained
        return (
            supernet.made_of if isinstance(supernet, ConvertedSupernet) else fingerprint(supernet)
        )

    @property
    def conversion(self) -> Report | None:
        """What became elastic of a plain model, what not and why; None for a supernet."""
        supernet = self.untrained
        return supernet.report if isinstance(supernet, ConvertedSupernet) else None

    @cached_property
    def totals(self) -> dict[str, Additive]:
        """MACs, parameters and other totals of any path; see :func:`additive_totals`."""
        return additive_totals(self.untrained)

    @cached_property
    def lessons(self) -> Lessons:
        """What is trained, how long and from what."""
        return lessons_of(self.config, self.model)


class TargetProject(Project):
    """A project, and what it is built for.

    Args:
        config_file: tipsc.yaml, or a folder that has one.
        target: name or file of a target.
        reporter: is told how far it is.
        output: where the engine goes; by default ``<name>-<target>.tipsc`` beside the
            configuration.
        device: what is measured and verified; this machine if not given.
        label: set apart what is published of several devices of one target.
        wait_quiet_s: most seconds to wait for a quiet device before it is measured; what was
            measured among other work is measured again. None: as the target says.
        profile_file: of such a device, taken before; only for an engine that is left unbuilt.
        like: an engine whose paths ship, first of all and in its order.

    Raises:
        ConfigError, TargetError: before anything is done.
    """

    def __init__(
        self,
        config_file: str | FilePath,
        target: str = "host",
        *,
        reporter: Reporter | None = None,
        output: FilePath | None = None,
        device: Device | None = None,
        label: str = "",
        wait_quiet_s: float | None = None,
        profile_file: FilePath | None = None,
        like: Like | None = None,
    ) -> None:
        self.target: Target = waiting(load_target(target), wait_quiet_s)
        if self.target.backend not in BACKENDS:
            raise TargetError(
                f"no backend is called {self.target.backend!r}",
                where=f"{target}, key backend",
                expected=f"one of {', '.join(BACKENDS)}",
                fix=near(self.target.backend, BACKENDS),
            )
        super().__init__(config_file, reporter=reporter)
        self.given = profile_file
        if like is not None:
            like.check_target(self.target.name)
        self.like = like
        #: of all targets that one training is for, in the order of their names; set by
        #: :mod:`tipsc.pipeline.together`
        self.together: tuple[TargetProject, ...] = (self,)
        #: paths to ship that another process has chosen; None: they are chosen here
        self.told: tuple[Path, ...] | None = None
        self._at_hand = device
        self.device: Device = ThisMachine() if device is None else device
        published = "-".join(filter(None, (self.config.name, label)))
        #: where people look for the profile
        self.published = _published(self.target.name, published, self.folder / "profiles")
        self.output = output or self.folder / f"{self.config.name}-{self.target.name}.tipsc"

    @cached_property
    def plan(self) -> BuildPlan:
        """What can be done here for the target; see :func:`tipsc.pipeline.plan.plan_of`."""
        return plan_of(self.target, self.config.build, self.given, self._at_hand)

    def may_stay(self, noise: str) -> bool:
        return not (self.target.measure.wait_quiet_s and noise)

    @property
    def compiled(self) -> FilePath:
        """A folder for what compilers keep from one engine to the next."""
        return self.runs / COMPILED


def publish(made: FilePath, place: FilePath) -> None:
    """Copies a stage's file to where people look for it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    content = made.read_bytes()
    if not place.is_file() or place.read_bytes() != content:
        write_atomically(place, [content])
