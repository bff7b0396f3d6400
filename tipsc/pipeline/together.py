"""Builds for several targets that have one training of the paths that ship in common.

Each target has its own profile, and its paths are chosen by what they cost there. What is trained
is the union of them: each target has as large a share of the steps, and a path that ships on
several has the share of each. Every engine then has its own target's paths from the same weights.
A target that is built by itself has a training of its own, as if there were no others.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tipsc.device.measuring import Device
from tipsc.errors import UsageError
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.choose import shipping
from tipsc.pipeline.record import BuildRecord
from tipsc.pipeline.stages import only_one_build
from tipsc.progress import Progress, Reporter, Silent

#: stages whose results all targets have in common
COMMON = ("model", "original", "train", "narrow")


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

    def __str__(self) -> str:
        each = ", ".join(f"{len(paths)} of {name}" for name, paths in self.paths.items())
        if self.by_itself:
            return f"all targets have the weights of the whole space: {each}"
        chosen = sum(len(paths) for paths in self.paths.values())
        return (
            f"one training for {len(self.paths)} targets: {len(self.trained)} paths ({each}; "
            f"{chosen - len(self.trained)} of them for more than one)"
        )


class Together:
    """One configuration, built for several targets.

    Args:
        config_file: tipsc.yaml, or a folder that has one.
        targets: names or files of targets, two or more, each once.
        reporter: is told how far it is; a stage of one target is called after it.
        devices: target, as it was given, to what is measured; this machine where none is given.
        wait_quiet_s: as of :class:`Pipeline`.

    Raises:
        UsageError: a target is there twice, or only one.
    """

    def __init__(
        self,
        config_file: str | Path,
        targets: Sequence[str],
        *,
        reporter: Reporter | None = None,
        devices: Mapping[str, Device] | None = None,
        wait_quiet_s: float | None = None,
    ) -> None:
        reporter, devices = reporter or Silent(), devices or {}
        made = [
            Pipeline(config_file, target, device=devices.get(target), wait_quiet_s=wait_quiet_s)
            for target in targets
        ]
        names = [pipeline.target.name for pipeline in made]
        if len(made) < 2 or len(set(names)) < len(names):
            raise UsageError(
                "these are no several targets",
                where="--target",
                expected="two or more, each once",
                got=", ".join(names),
            )
        #: by the targets' names: what is trained does not depend on the order of the request
        self.pipelines = tuple(sorted(made, key=lambda pipeline: pipeline.target.name))
        for pipeline in self.pipelines:
            pipeline.reporter = _Named(reporter, pipeline.target.name)
            pipeline.together = self.pipelines
        self._share_model()

    def _share_model(self) -> None:
        """The model is made once; each target has weights of its own, as stages change them."""
        first, *others = self.pipelines
        for other in others:
            supernet = copy.deepcopy(first.model.supernet)
            other.model = replace(first.model, supernet=supernet)

    def begin(self) -> Sharing:
        """All that goes before the training they share, for each target; and what it is then."""
        with only_one_build(self.pipelines[0].runs):
            for pipeline in self.pipelines:
                pipeline.begin()
            for pipeline in self.pipelines:
                pipeline.chosen()
            return self.sharing()

    def sharing(self) -> Sharing:
        """What the targets have in common, once their paths are chosen."""
        paths = {p.target.name: tuple(path.id for path in shipping(p)) for p in self.pipelines}
        trained = tuple(dict.fromkeys(name for each in paths.values() for name in each))
        return Sharing(paths, trained, self.pipelines[0].lessons.narrow is None)

    def run(self) -> tuple[BuildRecord, ...]:
        """Everything that is still missing; a record for each target, by their names."""
        self.begin()
        with only_one_build(self.pipelines[0].runs):
            return tuple(pipeline.end() for pipeline in self.pipelines)


@dataclass(frozen=True)
class _Named:
    """A reporter that is told for which target a stage is."""

    reporter: Reporter
    target: str

    def begin(self, stage: str) -> Progress:
        return self.reporter.begin(self._called(stage))

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        self.reporter.end(self._called(stage), seconds, cached=cached)

    def _called(self, stage: str) -> str:
        return stage if stage in COMMON else f"{self.target} {stage}"
