"""tipsc build: from a configuration to a verified engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipsc.cli.kept import Request, keep, said_again
from tipsc.cli.options import (
    ANY_PATH,
    OUTPUT_FILE,
    config_argument,
    connected,
    device_option,
    target_option,
    wait_quiet_option,
)
from tipsc.cli.output import Output, verb, wrapped
from tipsc.pipeline.unchanged import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from tipsc.device.client import Connection
    from tipsc.engine import Manifest
    from tipsc.engine.original import OriginalModel
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.record import BuildRecord
    from tipsc.progress import Reporter


@verb
@config_argument
@target_option
@device_option
@click.option(
    "--output", "output_file", type=OUTPUT_FILE, metavar="FILE", help="Where the engine goes."
)
@click.option(
    "--report",
    "report_file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Write the report here as well.",
)
@click.option(
    "--profile",
    "profile_file",
    type=ANY_PATH,
    metavar="FILE",
    help="Without the device: choose paths by this profile of it, rather than by estimates.",
)
@click.option(
    "--like",
    "like_file",
    type=ANY_PATH,
    metavar="OLD",
    help="An engine whose paths and layout are kept, so that a delta from it is small.",
)
@click.option(
    "--only",
    "parts",
    type=click.Choice(["head", "biases"]),
    multiple=True,
    help="Train this again from the weights of --like, and leave all else as it is; repeatable.",
)
@wait_quiet_option
@click.option(
    "--look",
    is_flag=True,
    help="Look at model and data themselves, though no file of theirs has changed.",
)
def command(
    output: Output,
    config: Path,
    target: str,
    device: str | None,
    output_file: Path | None,
    report_file: Path | None,
    profile_file: Path | None,
    like_file: Path | None,
    parts: tuple[str, ...],
    wait_quiet_s: float | None,
    look: bool,
) -> None:
    """Measure, choose, train, compile and verify: everything that is missing for CONFIG.

    Each stage is kept. A build that was stopped, even by kill -9, goes on when it is started
    again; a build for another target trains only its own paths again, if any.

    For a target whose engines are compiled on the device (jetson), the engine is left unbuilt:
    portable graphs, weights and a recipe, and no latency is claimed. With --device it is
    finished there.

    With --like the paths of the engine OLD ship again, and others beside them if CONFIG asks for
    more.
    """
    as_before = device is None and wait_quiet_s is None and profile_file is None
    here = as_before and like_file is None
    request = Request.of(config, target, output_file, report_file)
    if here and not look and said_again(output, request):
        return
    watch = Watch()
    from tipsc.backends import BACKENDS
    from tipsc.errors import UsageError
    from tipsc.project.target import load_target

    if parts and like_file is None:
        raise UsageError("--only trains parts of an engine again", fix="say which one by --like")
    if parts and report_file is not None:
        raise UsageError(
            "an engine of which parts are trained again has no report", fix="leave --report out"
        )
    found = BACKENDS.get(load_target(target).backend)
    if found is not None and found.finishes:
        if report_file is not None:
            raise UsageError("an unbuilt engine has no report", fix="leave --report out")
        if parts:
            raise UsageError(
                "parts of an engine that a device finishes cannot be trained again by themselves",
                fix="leave --only out",
            )
        if wait_quiet_s is not None and device is None:
            raise UsageError(
                "nothing is measured without the device",
                fix="leave --wait-quiet out, or give --device",
            )
    from tipsc.cli.updating import show_update
    from tipsc.device.measuring import Remote
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.like import Like

    like = None if like_file is None else Like.read(like_file, parts)
    with connected(device) as there, output.reporter() as reporter:
        pipeline = Pipeline(
            config,
            target,
            reporter=reporter,
            output=output_file,
            device=None if device is None else there,
            wait_quiet_s=wait_quiet_s,
            profile_file=profile_file,
            like=like,
        )
        if parts:
            assert like is not None
            show_update(output, pipeline, pipeline.update(), like)
            return
        unbuilt = pipeline.plan.unbuilt  # what cannot be done here is said first
        doubts = _doubts(output, pipeline)
        remarks = [*doubts, *pipeline.plan.remarks]
        forecast = {} if isinstance(there, Remote) else _forecast(output, pipeline)
        build = pipeline.run()
        if unbuilt and isinstance(there, Remote):
            _finish(output, build, there.connection, reporter, wait_quiet_s)
            return
    if unbuilt:
        _show_unbuilt(output, build, remarks, forecast)
        return
    document, shown = _shown(build, remarks, report_file, forecast)
    output.result(document, *shown)
    if here:
        notes = wrapped(f"note: {doubt}" for doubt in doubts)
        made = [Path(document[name]) for name in ("engine", "report", "profile")]
        keep(request, watch, pipeline, document, shown, notes, made)


def _shown(
    build: BuildRecord,
    remarks: list[str],
    report_file: Path | None,
    forecast: Mapping[str, float],
) -> tuple[dict[str, Any], list[RenderableType]]:
    """The engine and its page, as JSON and for people; the page is written."""
    from tipsc.cli.building import stage_document
    from tipsc.cli.engines import path_document
    from tipsc.report import goal_lines, legend, sharing_tables, shipped_table, write
    from tipsc.report.build import report_of

    assert build.measured is not None
    report, page = report_of(build), build.engine.with_suffix(".html")
    write(report, page)
    if report_file is not None:
        write(report, page := report_file)
    document = {
        "engine": str(build.engine),
        "name": build.manifest.name,
        "report": str(page),
        "profile": str(build.measured.file),
        "target": build.manifest.target,
        "stages": [
            {**stage_document(stage), "expected_s": forecast.get(stage.name)}
            for stage in build.stages
        ],
        "original": _original(build.original),
        "goals": _goals(build),
        "left_out": [vars(path) for path in build.left_out],
        "tested": _tested(build),
        "remarks": remarks,
        "noise": list(report.noise),
        "paths": [path_document(path, build.manifest.names) for path in build.manifest.paths],
        "sharing": _sharing(build),
    }
    parts: list[RenderableType] = [
        shipped_table(report),
        *wrapped(legend(report)),
        *wrapped(goal_lines(build.goals, build.manifest.names)),
        *sharing_tables(build.climbs, build.manifest.names),
        f"engine   {build.engine}",
        f"report   {page}",
        f"profile  {build.measured.file}",
    ]
    return document, parts


def _sharing(build: BuildRecord) -> dict[str, object]:
    """What paths were given for themselves, and the engines that could be built."""
    from dataclasses import asdict

    from tipsc.pipeline.climbs import trades

    found = trades(build.climbs) if build.climbs else ()
    return {"paths": [asdict(c) for c in build.climbs], "engines": [asdict(t) for t in found]}


def _doubts(output: Output, pipeline: Pipeline) -> list[str]:
    """Says what the original is worth, and what is doubtful about model and data, before the work
    begins."""
    from tipsc.pipeline.doubts import doubts, said_of
    from tipsc.pipeline.stages import only_one_build

    with only_one_build(pipeline.runs):
        original = pipeline.original()
        found = doubts(pipeline.data, original, pipeline.untrained)
    for line in wrapped(filter(None, [said_of(original, pipeline.data)])):
        output.note(line)
    for doubt in found:
        for line in wrapped([f"note: {doubt}"]):
            output.note(line)
    return found


def _forecast(output: Output, pipeline: Pipeline) -> dict[str, float]:
    """Says before the work what each stage will take, in seconds; nothing of a build that goes on.

    A whole space that was trained for another target is not trained again, so that is left out.
    """
    from tipsc.pipeline.outlook import outlook_of
    from tipsc.pipeline.stages import MANIFEST, only_one_build
    from tipsc.report.format import duration

    with only_one_build(pipeline.runs):
        if not pipeline.plan.unbuilt:
            pipeline.device.versions(pipeline.target.backend)
        found = pipeline.precheck()
        if found.problems or any(s.cached for s in pipeline.stages.done if s.name == "precheck"):
            return {}
        stages = outlook_of(pipeline, found)
    known = {"train"} if any(pipeline.runs.glob(f"train-*/{MANIFEST}")) else set()
    forecast = {s.stage: s.seconds for s in stages if s.stage not in known}
    parts = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in forecast.items())
    for line in wrapped([f"about {duration(sum(forecast.values()))}: {parts}"]):
        output.note(line)
    return forecast


def _original(found: OriginalModel | None) -> dict[str, object] | None:
    """The plain model that was converted, as ``--format json`` gives it."""
    from dataclasses import asdict

    from tipsc.cli.engines import quality_document

    if found is None:
        return None
    return {
        "quality": quality_document(found.quality),
        "parameters": found.parameters,
        "examples": found.examples,
        "macs": found.macs,
        "latency": None if found.latency is None else asdict(found.latency),
        "file_bytes": found.file_bytes,
    }


def _tested(build: BuildRecord) -> dict[str, int]:
    """Of how many test examples the qualities are, as ``--format json`` gives it."""
    return dict(zip(("examples", "of"), build.tested, strict=True))


def _goals(build: BuildRecord) -> list[dict[str, object]]:
    """What became of the goals, as ``--format json`` gives it."""
    from dataclasses import asdict

    return [asdict(answer) for answer in build.goals]


def _finish(
    output: Output,
    build: BuildRecord,
    connection: Connection,
    reporter: Reporter,
    wait_quiet_s: float | None,
) -> None:
    """An unbuilt engine, completed on the device."""
    from tipsc.cli.engines import paths_table
    from tipsc.cli.finish import finish_document, finish_lines
    from tipsc.pipeline.finish import finish

    done = finish(build.engine, connection, wait_quiet_s=wait_quiet_s, reporter=reporter)
    output.result(finish_document(done), paths_table(done.manifest), *finish_lines(done))


def _show_unbuilt(
    output: Output, build: BuildRecord, remarks: list[str], forecast: Mapping[str, float]
) -> None:
    """An engine that a device has to finish."""
    from tipsc.backends import BACKENDS
    from tipsc.cli.building import stage_document
    from tipsc.cli.engines import path_document, paths_table
    from tipsc.extras import how_to_install
    from tipsc.report import goal_lines, sharing_tables
    from tipsc.report.format import plural
    from tipsc.report.notes import examples_line

    manifest, original = build.manifest, build.original
    found = BACKENDS[manifest.backend]
    accepted = [check for check in build.checks if not check.problem]
    checked = (
        f"{len(accepted)} of {plural(len(manifest.paths), 'path')} accepted and built by "
        f"{build.checks[0].module} {build.checks[0].version} (no GPU: says nothing about latency)"
        if build.checks
        else f"not done; to have every path tried here, {how_to_install(found.tries_with)}"
    )
    output.result(
        {
            "engine": str(build.engine),
            "name": manifest.name,
            "target": manifest.target,
            "unbuilt": True,
            "chosen_by": manifest.recipe["paths chosen by"],
            "estimated_ms": manifest.estimated_ms,
            "checks": [vars(check) for check in build.checks],
            "checks_together": [vars(check) for check in build.groups],
            "stages": [
                {**stage_document(stage), "expected_s": forecast.get(stage.name)}
                for stage in build.stages
            ],
            "original": _original(original),
            "goals": _goals(build),
            "tested": _tested(build),
            "remarks": remarks,
            "paths": [path_document(path, manifest.names) for path in manifest.paths],
            "sharing": _sharing(build),
        },
        paths_table(manifest),
        *sharing_tables(build.climbs, manifest.names),
        *wrapped(goal_lines(build.goals, build.manifest.names)),
        *wrapped(filter(None, [_against(original, manifest), examples_line(*build.tested)])),
        f"engine   {build.engine}",
        f"state    unbuilt: a {manifest.target} has to finish it; no latency is claimed",
        *wrapped([f"paths    chosen by {manifest.recipe['paths chosen by']}"]),
        *wrapped(_estimates(manifest)),
        f"check    {checked}",
        *([f"remark   {manifest.recipe['remark']}"] if "remark" in manifest.recipe else []),
        *wrapped(f"remark   {remark}" for remark in build.remarks),
        *_depth_lines(build),
    )


def _against(original: OriginalModel | None, manifest: Manifest) -> str:
    from tipsc.report.notes import against_original

    if original is None:
        return ""
    qualities = {path.id: path.quality for path in manifest.paths}
    return against_original(original, qualities, manifest.names)


def _estimates(manifest: Manifest) -> list[str]:
    """What nobody measured, and is no latency of the engine."""
    from tipsc.report.notes import called

    estimated = manifest.estimated_ms
    each = ", ".join(f"{called(p, manifest.names)} {ms:.4g}" for p, ms in estimated.items())
    return [f"estimate {each} ms: for the order of paths, no latency"] if estimated else []


def _depth_lines(build: BuildRecord) -> list[str]:
    """What NVIDIA's builder makes of paths that differ in depth, as one plan."""
    from tipsc.engine.plan import paths_of
    from tipsc.report.format import byte_size
    from tipsc.report.notes import called

    names = build.manifest.names
    alone = {check.path_id: check.plan_bytes for check in build.checks}
    lines = []
    for check in build.groups:
        paths = paths_of(check.path_id)
        one, each = byte_size(check.plan_bytes), byte_size(sum(alone[path] for path in paths))
        verdict = (
            f"a plan each, for one is refused: {check.problem}"
            if check.problem
            else f"{one} as one plan, {each} as a plan each; settled on the device"
        )
        together = ", ".join(called(path, names) for path in paths)
        lines.append(f"depths   {together}: {verdict}")
    return lines
