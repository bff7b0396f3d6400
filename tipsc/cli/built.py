"""What tipsc build says of an engine that it made: as JSON, and for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tipsc.backends import BACKENDS
from tipsc.cli.building import stage_document
from tipsc.cli.engines import path_document, paths_table, quality_document
from tipsc.cli.finish import finish_document, finish_lines
from tipsc.cli.output import wrapped
from tipsc.engine import Manifest
from tipsc.engine.original import OriginalModel
from tipsc.engine.plan import paths_of
from tipsc.extras import how_to_install
from tipsc.pipeline.climbs import trades
from tipsc.pipeline.record import BuildRecord
from tipsc.quality import SHARE
from tipsc.report import goal_lines, legend, sharing_tables, shipped_table, write
from tipsc.report.build import report_of
from tipsc.report.format import byte_size, plural
from tipsc.report.notes import against_original, called, examples_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tipsc.device.client import Connection
    from tipsc.progress import Reporter

_MUCH = 0.03  # of a share: what the best path does not lose unless the training went wrong
#: a document, and the same for people
Shown = tuple[dict[str, Any], list["RenderableType"]]


def shown(
    build: BuildRecord,
    remarks: list[str],
    forecast: Mapping[str, float],
    report_file: Path | None = None,
) -> Shown:
    """An engine that was measured, and its page, which is written.

    Args:
        remarks: what is doubtful about model and data.
        forecast: stage to seconds that it was expected to take.
        report_file: where the page goes as well.
    """
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
        "stages": _stages(build, forecast),
        "original": _original(build.original),
        "training": asdict(build.trained),
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
        *wrapped(goal_lines(build.goals, build.manifest.names, doubtful=bool(report.noise))),
        *sharing_tables(build.climbs, build.manifest.names),
        *_hint(build),
        f"trained  {build.trained}",
        f"engine   {build.engine}",
        f"report   {page}",
        f"profile  {build.measured.file}",
    ]
    return document, parts


def shown_unbuilt(build: BuildRecord, remarks: list[str], forecast: Mapping[str, float]) -> Shown:
    """An engine that a device has to finish; see :func:`shown`."""
    manifest, original = build.manifest, build.original
    document = {
        "engine": str(build.engine),
        "name": manifest.name,
        "target": manifest.target,
        "unbuilt": True,
        "chosen_by": manifest.recipe["paths chosen by"],
        "estimated_ms": manifest.estimated_ms,
        "checks": [vars(check) for check in build.checks],
        "checks_together": [vars(check) for check in build.groups],
        "stages": _stages(build, forecast),
        "original": _original(original),
        "training": asdict(build.trained),
        "goals": _goals(build),
        "tested": _tested(build),
        "remarks": remarks,
        "paths": [path_document(path, manifest.names) for path in manifest.paths],
        "sharing": _sharing(build),
    }
    parts: list[RenderableType] = [
        paths_table(manifest),
        *sharing_tables(build.climbs, manifest.names),
        *wrapped(goal_lines(build.goals, manifest.names)),
        *wrapped(filter(None, [_against(original, manifest), examples_line(*build.tested)])),
        *_hint(build),
        f"trained  {build.trained}",
        f"engine   {build.engine}",
        f"state    unbuilt: a {manifest.target} has to finish it; no latency is claimed",
        *wrapped([f"paths    chosen by {manifest.recipe['paths chosen by']}"]),
        *wrapped(_estimates(manifest)),
        f"check    {_checked(build)}",
        *([f"remark   {manifest.recipe['remark']}"] if "remark" in manifest.recipe else []),
        *wrapped(f"remark   {remark}" for remark in build.remarks),
        *_depth_lines(build),
    ]
    return document, parts


def shown_finished(
    build: BuildRecord,
    connection: Connection,
    reporter: Reporter,
    wait_quiet_s: float | None,
) -> Shown:
    """An unbuilt engine, completed on the device."""
    from tipsc.pipeline.finish import finish

    done = finish(build.engine, connection, wait_quiet_s=wait_quiet_s, reporter=reporter)
    return finish_document(done), [paths_table(done.manifest), *finish_lines(done)]


def _stages(build: BuildRecord, forecast: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {**stage_document(stage), "expected_s": forecast.get(stage.name)} for stage in build.stages
    ]


def _checked(build: BuildRecord) -> str:
    if not build.checks:
        tries_with = BACKENDS[build.manifest.backend].tries_with
        return f"not done; to have every path tried here, {how_to_install(tries_with)}"
    accepted, first = [c for c in build.checks if not c.problem], build.checks[0]
    return (
        f"{len(accepted)} of {plural(len(build.manifest.paths), 'path')} accepted and built by "
        f"{first.module} {first.version} (no GPU: says nothing about latency)"
    )


def _sharing(build: BuildRecord) -> dict[str, object]:
    """What paths were given for themselves, and the engines that could be built."""
    found = trades(build.climbs) if build.climbs else ()
    return {"paths": [asdict(c) for c in build.climbs], "engines": [asdict(t) for t in found]}


def _original(found: OriginalModel | None) -> dict[str, object] | None:
    """The plain model that was converted, as ``--format json`` gives it."""
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


def _hint(build: BuildRecord) -> list[str]:
    """Where even the best path is far behind the original, what is usually the cause."""
    original, rate = build.original, build.trained.learning_rate
    known = [path.quality for path in build.manifest.paths if path.quality is not None]
    if original is None or rate is None or not known or original.quality.unit != SHARE:
        return []
    lost = min(original.quality.above(quality) for quality in known)
    if lost < _MUCH:
        return []
    return wrapped(
        [
            f"warning: even the best path loses {100 * lost:.1f} points: the learning rate may be "
            f"too high, try train.learning_rate: {rate / 3:.2g}; what else helps is in "
            "docs/how-to/paths-lose-too-much.md"
        ]
    )


def _goals(build: BuildRecord) -> list[dict[str, object]]:
    """What became of the goals, as ``--format json`` gives it."""
    return [asdict(answer) for answer in build.goals]


def _against(original: OriginalModel | None, manifest: Manifest) -> str:
    if original is None:
        return ""
    qualities = {path.id: path.quality for path in manifest.paths}
    return against_original(original, qualities, manifest.names)


def _estimates(manifest: Manifest) -> list[str]:
    """What nobody measured, and is no latency of the engine."""
    estimated = manifest.estimated_ms
    each = ", ".join(f"{called(p, manifest.names)} {ms:.4g}" for p, ms in estimated.items())
    return [f"estimate {each} ms: for the order of paths, no latency"] if estimated else []


def _depth_lines(build: BuildRecord) -> list[str]:
    """What NVIDIA's builder makes of paths that differ in depth, as one plan."""
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
