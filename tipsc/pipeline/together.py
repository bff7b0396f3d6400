"""Builds for several targets that have one training of the paths that ship in common.

Each target has its own profile, and its paths are chosen by what they cost there. What is trained
is the union of them: each target has as large a share of the steps, and a path that ships on
several has the share of each. Every engine then has its own target's paths from the same weights.
Calibrated norms, and what a path is given for itself (``build.share_loss``), are each target's own.
A target that is built by itself has a training of its own, as if there were no others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tipsc.device.measuring import Device
from tipsc.errors import TipscError, UsageError, near
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.choose import shipping
from tipsc.pipeline.record import BuildRecord
from tipsc.pipeline.stages import only_one_build
from tipsc.progress import Progress, Reporter, Silent
from tipsc.project.target import load_target

#: stages whose results all targets have in common
COMMON = ("model", "original", "train", "narrow")


def called(stage: str, target: str) -> str:
    """What a stage is called where several targets are built."""
    return stage if stage in COMMON else f"{target} {stage}"


@dataclass(frozen=True)
class Sharing:
    """What the targets of one build have in common.

    Attributes:
        paths: target to the ids of the paths that ship there.
        trained: ids of all paths that are trained, each once.
        by_itself: no paths are trained once they are chosen, so that nothing is shared but what
            any two builds share.
    """

    paths: Mapping[str, tuple[str, ...]]
    trained: tuple[str, ...]
    by_itself: bool

    @property
    def several(self) -> int:
        """How many of the paths ship on more than one target."""
        ids = [name for paths in self.paths.values() for name in paths]
        return sum(ids.count(name) > 1 for name in self.trained)

    def __str__(self) -> str:
        each = ", ".join(f"{len(paths)} on {name}" for name, paths in self.paths.items())
        if self.by_itself:
            return f"all targets have the weights of the whole space: {each}"
        return (
            f"one training for {len(self.paths)} targets: {len(self.trained)} paths ({each}; "
            f"{self.several} of them on several)"
        )


class Together:
    """One configuration, built for several targets.

    Args:
        config_file: tipsc.yaml, or a folder that has one.
        targets: names or files of targets, two or more, each once.
        reporter: is told how far it is; a stage of one target is called after it.
        devices: name of a target to what is measured; this machine where none is given.
        profiles: name of a target to a profile of such a device, taken before; as `profile_file`
            of :class:`Pipeline`.
        wait_quiet_s: as of :class:`Pipeline`.

    Raises:
        UsageError: a target is there twice, or only one, or something is given for another one.
    """

    def __init__(
        self,
        config_file: str | Path,
        targets: Sequence[str],
        *,
        reporter: Reporter | None = None,
        devices: Mapping[str, Device] | None = None,
        profiles: Mapping[str, Path] | None = None,
        wait_quiet_s: float | None = None,
    ) -> None:
        reporter, devices, profiles = reporter or Silent(), devices or {}, profiles or {}
        names = {target: load_target(target).name for target in targets}
        if len(targets) < 2 or len(set(names.values())) < len(targets):
            raise UsageError(
                "these are no several targets",
                where="--target",
                expected="two or more, each once",
                got=", ".join(names[target] for target in targets),
            )
        _check_known({**devices, **profiles}, names.values())
        #: by the targets' names: what is trained does not depend on the order of the request
        self.pipelines = tuple(
            Pipeline(
                config_file,
                target,
                reporter=_Named(reporter, name, first=name == min(names.values())),
                device=devices.get(name),
                profile_file=profiles.get(name),
                wait_quiet_s=wait_quiet_s,
            )
            for target, name in sorted(names.items(), key=lambda item: item[1])
        )
        for pipeline in self.pipelines:
            pipeline.together = self.pipelines
            with _naming(pipeline):
                _ = pipeline.plan  # what cannot be done here is said first
        self._share_model()

    def _share_model(self) -> None:
        """The model is made once; each target has weights of its own, as stages change them."""
        first, *others = self.pipelines
        for other in others:
            supernet = copy.deepcopy(first.model.supernet)
            other.model = replace(first.model, supernet=supernet)

    @property
    def runs(self) -> Path:
        """Where the stages of all targets lie."""
        return self.pipelines[0].runs

    def begin(self) -> Sharing:
        """All that goes before the training they share, for each target; and what it is then."""
        with only_one_build(self.runs):
            return self._begin()

    def sharing(self) -> Sharing:
        """What the targets have in common, once their paths are chosen."""
        paths = {p.target.name: tuple(path.id for path in shipping(p)) for p in self.pipelines}
        trained = tuple(dict.fromkeys(name for each in paths.values() for name in each))
        return Sharing(paths, trained, self.pipelines[0].lessons.narrow is None)

    def run(self, told: Callable[[Sharing], None] | None = None) -> tuple[BuildRecord, ...]:
        """Everything that is still missing; a record for each target, by their names.

        Args:
            told: is called once the paths are chosen, before the training that they share.

        Raises:
            TipscError: names the target where it is of one of them.
        """
        with only_one_build(self.runs):
            sharing = self._begin()
            if told is not None:
                told(sharing)
            self.pipelines[0].weights()  # what fails here is of no target
            records = []
            for pipeline in self.pipelines:
                with _naming(pipeline):
                    records.append(pipeline.end())
            return tuple(records)

    def _begin(self) -> Sharing:
        for pipeline in self.pipelines:
            with _naming(pipeline):
                pipeline.begin()
        self.pipelines[0].trained()
        for pipeline in self.pipelines:
            with _naming(pipeline):
                pipeline.chosen()
        return self.sharing()


def _check_known(given: Iterable[str], names: Iterable[str]) -> None:
    """Refuses what is given for a target that is not built."""
    known = sorted(names)
    for name in given:
        if name not in known:
            raise UsageError(
                "this is given for a target that is not built",
                where=name,
                expected=f"one of {', '.join(known)}",
                fix=near(name, known),
            )


@contextmanager
def _naming(pipeline: Pipeline) -> Iterator[None]:
    """Errors inside name the target."""
    try:
        yield
    except TipscError as error:
        place = f"target {pipeline.target.name}"
        error.where = f"{place}, {error.where}" if error.where else place
        error.args = (str(error),)
        raise


@dataclass(frozen=True)
class _Named:
    """A reporter that is told for which target a stage is; of a common one by the first alone."""

    reporter: Reporter
    target: str
    first: bool

    def begin(self, stage: str) -> Progress:
        return self._of(stage).begin(called(stage, self.target))

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        self._of(stage).end(called(stage, self.target), seconds, cached=cached)

    def _of(self, stage: str) -> Reporter:
        return self.reporter if self.first or stage not in COMMON else Silent()
