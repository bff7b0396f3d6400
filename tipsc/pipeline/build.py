"""``tipsc build``: every stage that is still missing, in order, and a record of what it made.

Each method does what is missing before it. The files beside this one are the stages.
"""

from __future__ import annotations

from pathlib import Path

from tipsc.device.measuring import Device
from tipsc.elastic import Supernet
from tipsc.engine import Manifest, read_engine
from tipsc.pipeline.check import check_step
from tipsc.pipeline.choose import CHOOSE
from tipsc.pipeline.context import TargetProject
from tipsc.pipeline.engine import FILE, built
from tipsc.pipeline.narrow import NARROW, narrowed_supernet
from tipsc.pipeline.original import Original, original_of
from tipsc.pipeline.precheck import prechecked
from tipsc.pipeline.profile import profiled
from tipsc.pipeline.record import BuildRecord, record_of
from tipsc.pipeline.search import SEARCH
from tipsc.pipeline.ship import ship_stage
from tipsc.pipeline.stages import StageDone, only_one_build
from tipsc.pipeline.train import TRAIN
from tipsc.pipeline.tried import Precheck
from tipsc.progress import Reporter


class Pipeline(TargetProject):
    """The stages of one configuration and target; see :class:`TargetProject` for the arguments."""

    def precheck(self) -> Precheck:
        """What a few paths show before anything is trained: whether it can be built at all."""
        return prechecked(self)

    def original(self) -> Original | None:
        """The score of the plain model that was converted; None without one, or without labels."""
        return original_of(self)

    def trained(self) -> StageDone:
        """The stage with the weights of the whole space, which all targets have in common."""
        return self.done(TRAIN)

    def profile(self) -> StageDone:
        """The stage with the latency of paths: measured, predicted, or given."""
        return profiled(self)

    def check(self, count: int) -> StageDone:
        """The stage that compares the profile with `count` random paths that it did not measure."""
        return self.done(check_step(self, count))

    def searched(self) -> StageDone:
        """The stage with the candidates."""
        return self.done(SEARCH)

    def chosen(self) -> StageDone:
        """The stage with the paths to ship."""
        return self.done(CHOOSE)

    def weights(self) -> StageDone:
        """The stage with the weights that ship."""
        return self.done(TRAIN if self.lessons.narrow is None else NARROW)

    @property
    def supernet(self) -> Supernet:
        """The supernet with the weights that ship."""
        return narrowed_supernet(self)

    def shipped(self) -> StageDone:
        """The stage with the paths as they ship."""
        return ship_stage(self)

    def engine(self) -> StageDone:
        """The stage with the engine."""
        return built(self)

    def update(self) -> Manifest:
        """The engine that it is like, with only some parts of its weights trained again."""
        self.device.versions(self.target.backend)
        with only_one_build(self.runs):
            return read_engine(self.engine().folder / FILE).manifest

    def run(self) -> BuildRecord:
        """Everything."""
        with only_one_build(self.runs):
            self.begin()
            return self.end()

    def begin(self) -> None:
        """What would fail fails first: a missing runtime, a path that does not compile."""
        if not self.plan.unbuilt:
            self.device.versions(self.target.backend)
        self.precheck().require()
        self.original()

    def end(self) -> BuildRecord:
        """All that is still missing."""
        self.engine()
        return record_of(self)


def build(
    config_file: str | Path,
    target: str = "host",
    *,
    reporter: Reporter | None = None,
    output: Path | None = None,
    device: Device | None = None,
) -> BuildRecord:
    """Profiles, chooses, trains, compiles and verifies; see :class:`Pipeline`.

    :func:`tipsc.report.build.write_build` makes the page of what it returns.
    """
    return Pipeline(config_file, target, reporter=reporter, output=output, device=device).run()
