"""tipsc build: from a configuration to a verified engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

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

if TYPE_CHECKING:
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.unbuilt import Unbuilt
    from tipsc.report.data import Original


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
    help="Without the device: choose paths by this profile of it, rather than by MACs.",
)
@wait_quiet_option
def command(
    output: Output,
    config: Path,
    target: str,
    device: str | None,
    output_file: Path | None,
    report_file: Path | None,
    profile_file: Path | None,
    wait_quiet_s: float | None,
) -> None:
    """Train, measure, choose, compile and verify: everything that is missing for CONFIG.

    Each stage is kept. A build that was stopped, even by kill -9, goes on when it is started
    again; a build for another target trains nothing again.

    For a target whose engines are compiled on the device (jetson), the engine is left unbuilt:
    portable graphs, weights and a recipe, and no latency is claimed. With --device it is
    finished there.
    """
    from tipsc.backends import FINISHED_ON_DEVICE
    from tipsc.errors import UsageError
    from tipsc.project.target import load_target

    if load_target(target).backend in FINISHED_ON_DEVICE:
        if report_file is not None:
            raise UsageError("an unbuilt engine has no report", fix="leave --report out")
        if wait_quiet_s is not None and device is None:
            raise UsageError(
                "nothing is measured without the device",
                fix="leave --wait-quiet out, or give --device",
            )
        _build_without_device(
            output, config, target, device, output_file, profile_file, wait_quiet_s
        )
        return
    if profile_file is not None:
        raise UsageError(
            "paths for this target are measured, not chosen by a profile", fix="leave --profile out"
        )
    from tipsc.cli.building import stage_document
    from tipsc.cli.engines import path_document
    from tipsc.engine import read_engine
    from tipsc.pipeline.build import Pipeline
    from tipsc.report import legend, shipped_table, write

    with connected(device) as there, output.reporter() as reporter:
        pipeline = Pipeline(
            config,
            target,
            reporter=reporter,
            output=output_file,
            device=there,
            wait_quiet_s=wait_quiet_s,
        )
        remarks = _doubts(output, pipeline)
        built = pipeline.run()
    if report_file is not None:
        write(built.report, report_file)
    page = report_file or built.page
    manifest = read_engine(built.engine).manifest
    output.result(
        {
            "engine": str(built.engine),
            "name": manifest.name,
            "report": str(page),
            "profile": str(built.profile),
            "target": manifest.target,
            "stages": [stage_document(stage) for stage in built.stages],
            "original": _original(built.report.original),
            "remarks": remarks,
            "noise": list(built.report.noise),
            "paths": [path_document(path, manifest) for path in manifest.paths],
        },
        shipped_table(built.report),
        *wrapped(legend(built.report)),
        f"engine   {built.engine}",
        f"report   {page}",
        f"profile  {built.profile}",
    )


def _doubts(output: Output, pipeline: Pipeline) -> list[str]:
    """Tells what is doubtful about model and data, before the work begins."""
    from tipsc.pipeline.doubts import doubts
    from tipsc.pipeline.stages import only_one_build

    with only_one_build(pipeline.runs):
        found = doubts(pipeline.data, pipeline.original())
    for doubt in found:
        for line in wrapped([f"note: {doubt}"]):
            output.note(line)
    return found


def _original(found: Original | None) -> dict[str, float] | None:
    """The plain model that was converted, as ``--format json`` gives it."""
    if found is None:
        return None
    return {
        "accuracy": found.accuracy,
        "parameters": found.parameters,
        "examples": found.examples,
    }


def _build_without_device(
    output: Output,
    config: Path,
    target: str,
    device: str | None,
    output_file: Path | None,
    profile_file: Path | None,
    wait_quiet_s: float | None,
) -> None:
    from tipsc.cli.building import stage_document
    from tipsc.cli.engines import path_document, paths_table
    from tipsc.cli.finish import finish_document, finish_lines
    from tipsc.device.measuring import Remote
    from tipsc.engine import read_engine
    from tipsc.extras import how_to_install
    from tipsc.pipeline.finish import finish
    from tipsc.pipeline.unbuilt import UnbuiltPipeline
    from tipsc.report.format import plural
    from tipsc.report.notes import against_original

    with connected(device) as there, output.reporter() as reporter:
        pipeline = UnbuiltPipeline(
            config,
            target,
            reporter=reporter,
            output=output_file,
            profile_file=profile_file,
            device=None if device is None else there,
        )
        remarks = [*_doubts(output, pipeline), *pipeline.remarks]
        original = pipeline.original()
        made = pipeline.run_without_device()
        if isinstance(there, Remote):
            done = finish(
                made.engine, there.connection, wait_quiet_s=wait_quiet_s, reporter=reporter
            )
            output.result(finish_document(done), paths_table(done.manifest), *finish_lines(done))
            return
    manifest = read_engine(made.engine).manifest
    accepted = [check for check in made.checks if not check.problem]
    checked = (
        f"{len(accepted)} of {plural(len(manifest.paths), 'path')} accepted and built by "
        f"{made.checks[0].module} {made.checks[0].version} (no GPU: says nothing about latency)"
        if made.checks
        else f"not done; to let NVIDIA's parser try every path, {how_to_install('tensorrt-check')}"
    )
    output.result(
        {
            "engine": str(made.engine),
            "name": manifest.name,
            "target": manifest.target,
            "unbuilt": True,
            "chosen_by": manifest.recipe["paths chosen by"],
            "nvidia_check": [vars(check) for check in made.checks],
            "nvidia_check_depths": [vars(check) for check in made.groups],
            "stages": [stage_document(stage) for stage in pipeline.stages.done],
            "original": _original(original),
            "remarks": remarks,
            "paths": [path_document(path, manifest) for path in manifest.paths],
        },
        paths_table(manifest),
        *wrapped(
            [against_original(original, {path.id: path.accuracy for path in manifest.paths})]
            if original
            else []
        ),
        f"engine   {made.engine}",
        f"state    unbuilt: a {manifest.target} has to finish it; no latency is claimed",
        f"paths    chosen by {manifest.recipe['paths chosen by']}",
        f"check    {checked}",
        *([f"remark   {manifest.recipe['remark']}"] if "remark" in manifest.recipe else []),
        *wrapped(f"remark   {remark}" for remark in pipeline.remarks),
        *_depth_lines(made),
    )


def _depth_lines(made: Unbuilt) -> list[str]:
    """What NVIDIA's builder makes of paths that differ in depth, as one plan."""
    from tipsc.engine.plan import paths_of
    from tipsc.report.format import byte_size

    alone = {check.path_id: check.plan_bytes for check in made.checks}
    lines = []
    for check in made.groups:
        paths = paths_of(check.path_id)
        one, each = byte_size(check.plan_bytes), byte_size(sum(alone[path] for path in paths))
        verdict = (
            f"a plan each, for one is refused: {check.problem}"
            if check.problem
            else f"{one} as one plan, {each} as a plan each; settled on the device"
        )
        lines.append(f"depths   {' '.join(paths)}: {verdict}")
    return lines
