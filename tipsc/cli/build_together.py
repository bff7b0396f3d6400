"""tipsc build with several targets: one training, and an engine for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tipsc.cli.building import doubts_of, forecast_of
from tipsc.cli.built import Shown, shown, shown_finished, shown_unbuilt
from tipsc.cli.kept import Request, keep
from tipsc.cli.options import connected
from tipsc.cli.output import Output, wrapped
from tipsc.device.measuring import Device, Remote
from tipsc.errors import UsageError
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.record import BuildRecord
from tipsc.pipeline.together import COMMON, Sharing, Together, called
from tipsc.pipeline.unchanged import Watch
from tipsc.profile import Profile
from tipsc.progress import Reporter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType


def build_together(
    output: Output,
    config: Path,
    targets: Sequence[str],
    devices: Sequence[str],
    profiles: Sequence[Path],
    wait_quiet_s: float | None,
    request: Request,
    watch: Watch,
) -> None:
    """Builds for all targets, and says of each what it says of one.

    Args:
        devices: TARGET=URL each.
        profiles: that were taken before; each says which target it is of.
    """
    with _devices(devices) as there, output.reporter() as reporter:
        together = Together(
            config,
            targets,
            reporter=reporter,
            devices=there,
            profiles=_by_target(profiles),
            wait_quiet_s=wait_quiet_s,
        )
        pipelines = together.pipelines
        doubts = doubts_of(output, pipelines[0])  # of what all targets have in common
        remote = any(isinstance(device, Remote) for device in there.values())
        forecast = {} if remote else forecast_of(output, pipelines)
        builds = together.run(lambda sharing: _tell(output, sharing))
        made = {
            pipeline.target.name: _of_one(
                pipeline, build, doubts, _of_target(forecast, pipeline), reporter, wait_quiet_s
            )
            for pipeline, build in zip(pipelines, builds, strict=True)
        }
    document, lines = _joined(together, made)
    output.result(document, *lines)
    notes = wrapped(f"note: {doubt}" for doubt in doubts)
    files = [
        Path(one[name])
        for one in document["targets"]
        for name in ("engine", "report", "profile")
        if name in one
    ]
    keep(request, watch, pipelines, document, lines, notes, files)


@contextmanager
def _devices(given: Sequence[str]) -> Iterator[dict[str, Device]]:
    """Connections, by the names of targets."""
    with ExitStack() as stack:
        found: dict[str, Device] = {}
        for text in given:
            target, equals, url = text.partition("=")
            if not (target and equals and url) or "://" in target or target in found:
                raise UsageError(
                    "with several targets a device is for one of them",
                    where="--device",
                    expected="TARGET=URL, each target once",
                    got=text,
                )
            found[target] = stack.enter_context(connected(url))
        yield found


def _by_target(files: Sequence[Path]) -> dict[str, Path]:
    """Profiles by the targets that they say they are of."""
    found: dict[str, Path] = {}
    for file in files:
        target = Profile.load(file).target
        if target in found:
            raise UsageError(
                "two profiles are of the same target",
                where=str(file),
                got=f"{target}, as {found[target]}",
                fix="give one of them",
            )
        found[target] = file
    return found


def _tell(output: Output, sharing: Sharing) -> None:
    for line in wrapped([str(sharing)]):
        output.note(line)


def _of_target(forecast: Mapping[str, float], pipeline: Pipeline) -> dict[str, float]:
    """Of the stages of one target, under their own names."""
    stages = {stage.name for stage in pipeline.stages.done}
    titles = {stage: called(stage, pipeline.target.name) for stage in stages}
    return {stage: forecast[title] for stage, title in titles.items() if title in forecast}


def _of_one(
    pipeline: Pipeline,
    build: BuildRecord,
    doubts: list[str],
    forecast: Mapping[str, float],
    reporter: Reporter,
    wait_quiet_s: float | None,
) -> Shown:
    """What a build for one target says."""
    remarks = [*doubts, *pipeline.plan.remarks]
    if not pipeline.plan.unbuilt:
        return shown(build, remarks, forecast)
    if isinstance(pipeline.device, Remote):
        return shown_finished(build, pipeline.device.connection, reporter, wait_quiet_s)
    return shown_unbuilt(build, remarks, forecast)


def _joined(
    together: Together, made: Mapping[str, Shown]
) -> tuple[dict[str, Any], list[RenderableType]]:
    """All of them as one document, and one under the other."""
    sharing = together.sharing()
    stages = {s.name: s for p in together.pipelines for s in reversed(p.stages.done)}
    document = {
        "name": together.pipelines[0].config.name,
        "training": {
            "shared": not sharing.by_itself,
            "paths": {target: list(paths) for target, paths in sharing.paths.items()},
            "trained": list(sharing.trained),
            "seconds": {name: round(stages[name].seconds, 3) for name in COMMON if name in stages},
        },
        "targets": [one for one, _ in made.values()],
    }
    lines: list[RenderableType] = []
    for target, (_, parts) in made.items():
        lines += [f"target   {target}", *parts, ""]
    return document, [*lines, *wrapped([f"shared   {sharing}"])]
