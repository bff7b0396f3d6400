"""What the verbs share that build: one build at a time, as one process of several, done or not."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tipsc.cli.output import Output, wrapped
from tipsc.errors import UsageError
from tipsc.paths import Path as Subnet
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.choose import shipping
from tipsc.pipeline.stages import MANIFEST, StageDone, Stages, key_of, only_one_build
from tipsc.pipeline.together import called
from tipsc.train.checkpoint import FILE as CHECKPOINT
from tipsc.train.distributed import Processes

if TYPE_CHECKING:
    from tipsc.measure.others import Counters

Work = Callable[[Path], None]
_BUSY = 0.25  # share of the cores that other work may take before it is worth a remark


class SharedStages(Stages):
    """Stages on which several processes work together: the first decides, and keeps the results.

    Whether there is anything to do must be one answer for all, or those that work would wait for
    ever for those that do not; and the others may sit on other machines, without the files.
    """

    def __init__(self, folder: Path, group: Processes) -> None:
        super().__init__(folder)
        self._group = group
        self._place = folder

    def run(
        self,
        name: str,
        inputs: Mapping[str, object],
        work: Work,
        *,
        resumable: bool = False,
        good: Callable[[Path], bool] = lambda folder: True,
    ) -> StageDone:
        if self._group.rank == 0:
            return self._lead(name, inputs, work, resumable, good)
        works = self._group.from_first(None) == b"work"
        if works:
            with tempfile.TemporaryDirectory(prefix="tipsc-") as unused:
                # The work ends by removing its checkpoint, which the first process alone wrote.
                (Path(unused) / CHECKPOINT).touch()
                work(Path(unused))
        key = key_of({"stage": name, **inputs})
        return StageDone(name, key, self._place / f"{name}-{key}", 0.0, cached=not works)

    def _lead(
        self,
        name: str,
        inputs: Mapping[str, object],
        work: Work,
        resumable: bool,
        good: Callable[[Path], bool],
    ) -> StageDone:
        told = False

        def work_with_all(folder: Path) -> None:
            nonlocal told
            told = True
            self._group.from_first(b"work")
            work(folder)

        stage = super().run(name, inputs, work_with_all, resumable=resumable, good=good)
        if not told:
            self._group.from_first(b"done")
        return stage


def chosen_by_first(pipeline: Pipeline, group: Processes) -> tuple[Subnet, ...]:
    """The paths to ship: the first process measures and chooses, and the others hear of it."""
    told = None
    if group.rank == 0:
        shared, pipeline.stages = pipeline.stages, Stages(pipeline.runs)
        told = json.dumps([dict(path.items) for path in shipping(pipeline)]).encode()
        pipeline.stages = shared
    found = json.loads(group.from_first(told) or b"[]")
    return tuple(pipeline.untrained.space.path(options) for options in found)


class FinishedStages(Stages):
    """Stages that have been done; what is missing is an error and not begun."""

    def run(self, name: str, *arguments: Any, **options: Any) -> StageDone:
        def refuse(folder: Path) -> None:
            with contextlib.suppress(OSError):  # what a stopped training left stays there
                folder.rmdir()
            raise UsageError(
                f"stage {name} has not been done for this configuration as it is now",
                fix="run tipsc build first",
            )

        inputs = arguments[0]
        return super().run(name, inputs, refuse, resumable=True)


def doubts_of(output: Output, pipeline: Pipeline) -> list[str]:
    """Says what the original is worth, and what is doubtful about model and data, before the work
    begins."""
    from tipsc.pipeline.doubts import doubts, said_of

    with only_one_build(pipeline.runs):
        original = pipeline.original()
        found = doubts(pipeline.data, original, pipeline.untrained)
    for line in wrapped(filter(None, [said_of(original, pipeline.data)])):
        output.note(line)
    for line in wrapped(f"note: {doubt}" for doubt in found):
        output.note(line)
    return found


def forecast_of(output: Output, pipelines: Sequence[Pipeline]) -> dict[str, float]:
    """Says before the work what each stage will take, in seconds; nothing of a build that goes on.

    A whole space that was trained for another target is not trained again, so that is left out.

    Args:
        pipelines: of one target, or of several that have one training.
    """
    from tipsc.measure.others import read_counters
    from tipsc.pipeline.outlook import outlook_of
    from tipsc.report.format import duration

    before = read_counters()
    runs, expected, begun = pipelines[0].runs, dict[str, float](), list[str]()
    with only_one_build(runs):
        known = {"train"} if any(runs.glob(f"train-*/{MANIFEST}")) else set()
        for pipeline in pipelines:
            name = pipeline.target.name
            if not pipeline.plan.unbuilt:
                pipeline.device.versions(pipeline.target.backend)
            found = pipeline.precheck()
            if found.problems:
                return {}
            if any(s.cached for s in pipeline.stages.done if s.name == "precheck"):
                begun.append(name)  # built before, or stopped: much of it may be done
                continue
            for stage in outlook_of(pipeline, found):
                title = stage.stage if len(pipelines) == 1 else called(stage.stage, name)
                if stage.stage not in known:
                    expected.setdefault(title, stage.seconds)
    if not expected:
        return {}
    parts = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in expected.items())
    beside = f", and what is missing for {' and '.join(begun)}" if begun else ""
    for line in wrapped([f"about {duration(sum(expected.values()))}{beside}: {parts}"]):
        output.note(line)
    for line in wrapped(_other_work(before)):
        output.note(line)
    return expected


def _other_work(before: Counters) -> list[str]:
    """A sentence where the steps that a forecast is made of were timed among other work."""
    from tipsc.measure.others import others_between, read_counters
    from tipsc.report.format import percent

    share = others_between(before, read_counters(), ()).others
    if share is None or share < _BUSY:
        return []
    return [
        f"note: other work takes {percent(share, 0)} % of this machine: that is in this forecast, "
        "and while it lasts measured latencies come out too high; --wait-quiet 60 waits for its end"
    ]


def stage_document(stage: StageDone) -> dict[str, Any]:
    """A stage as ``--format json`` gives it."""
    return {"name": stage.name, "seconds": round(stage.seconds, 3), "cached": stage.cached}
