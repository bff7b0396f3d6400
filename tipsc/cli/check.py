"""tipsc check: what a build would fail at, and what it will cost, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipsc.cli.options import config_argument, target_option
from tipsc.cli.output import Output, verb, wrapped

if TYPE_CHECKING:
    from rich.table import Table

    from tipsc.pipeline.original import Original
    from tipsc.pipeline.outlook import StageOutlook
    from tipsc.pipeline.tried import Precheck, Problem

_MIB = 2**20


@verb
@config_argument
@target_option
def command(output: Output, config: Path, target: str) -> None:
    """Convert, compile and compare a few paths of CONFIG, and say what a build will take.

    Paths that have, and that lack, each kind of optional step are compiled for the target and
    compared with torch on real examples. A layer that is compiled wrongly is named. Nothing is
    trained but a few steps of a copy. Ends with 1 if something is wrong.
    """
    from dataclasses import asdict

    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.doubts import doubts, said_of
    from tipsc.pipeline.outlook import outlook_of
    from tipsc.pipeline.stages import only_one_build

    with output.reporter() as reporter:
        pipeline = Pipeline(config, target, reporter=reporter)
        with only_one_build(pipeline.runs):
            original = pipeline.original()
            found = pipeline.precheck()
        stages = () if found.problems else outlook_of(pipeline, found)
    supernet = pipeline.untrained
    report = pipeline.conversion
    warnings = doubts(pipeline.data, original, pipeline.untrained)
    worth = said_of(original, pipeline.data)
    output.result(
        {
            "name": pipeline.config.name,
            "target": pipeline.target.name,
            "right": not found.problems,
            "conversion": None if report is None else asdict(report),
            "paths_in_space": supernet.space.size,
            "smallest_share": _share(found),
            "original": None if original is None else _original(original),
            "paths": [_path(path) for path in found.paths],
            "problems": [asdict(problem) for problem in found.problems],
            "stages": [_stage(stage) for stage in stages],
            "warnings": warnings,
            "remark": found.remark,
        },
        *([] if report is None else [str(report), ""]),
        *wrapped([worth] if worth else []),
        *wrapped([_summary(found, supernet.space.size, pipeline.target.name)]),
        _paths_table(found),
        *wrapped(_problems(found.problems)),
        *([_stages_table(stages)] if stages else []),
        *wrapped(f"warning: {warning}" for warning in warnings),
        *wrapped([f"note: {found.remark}"] if found.remark else []),
    )
    if found.problems:
        raise click.exceptions.Exit(1)


def _share(found: Precheck) -> float:
    """MACs of the smallest path, of those of the largest."""
    macs = [path.macs for path in found.paths]
    return min(macs) / max(max(macs), 1)


def _summary(found: Precheck, size: int, target: str) -> str:
    from tipsc.convert.report import size_of_space
    from tipsc.report.format import percent, plural

    return (
        f"{plural(len(found.paths), 'path')} of {size_of_space(size)} compiled for {target} and "
        f"compared with torch; the smallest has {percent(_share(found), 1)} % of the largest's "
        "MACs."
    )


def _problems(problems: Sequence[Problem]) -> list[str]:
    """A sentence for each thing that is wrong, and the paths that it concerns."""
    from tipsc.errors import listed

    paths: dict[str, list[str]] = {}
    for problem in problems:
        paths.setdefault(problem.what, []).extend(filter(None, [problem.path]))
    return [
        f"wrong: {what}" + (f"; in {listed(ids, most=4)}" if ids else "")
        for what, ids in paths.items()
    ] or ["All are right."]


def _paths_table(found: Precheck) -> Table:
    from rich.text import Text

    from tipsc.report.format import count, tiny
    from tipsc.report.tables import plain_table

    table = plain_table()
    table.add_column("path", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for heading in ("MACs", "params", "about ms", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    wrong = {problem.path for problem in found.problems}
    for path in found.paths:
        mark = " wrong" if path.id in wrong else ""
        difference = tiny(path.difference) + mark
        cells = (count(path.macs), count(path.parameters), _about_ms(path.engine_s), difference)
        table.add_row(Text(path.id), Text(path.why), *cells)
    return table


def _about_ms(seconds: float | None) -> str:
    """Some calls from Python, each by itself: what they have around them is a tenth of a ms."""
    from tipsc.report.format import MISSING, significant

    if seconds is None:
        return MISSING
    return "< 1" if seconds < 1e-3 else significant(1e3 * seconds, 2)


def _stages_table(stages: Sequence[StageOutlook]) -> Table:
    from rich.text import Text

    from tipsc.report.format import byte_size, duration
    from tipsc.report.tables import plain_table

    table = plain_table()
    table.add_column("stage", no_wrap=True)
    table.add_column("about", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("of what")
    for stage in stages:
        memory = byte_size(None if stage.peak_mib is None else stage.peak_mib * _MIB)
        table.add_row(stage.stage, duration(stage.seconds), memory, Text(stage.basis))
    table.add_section()
    table.add_row("all", duration(sum(stage.seconds for stage in stages)), "", "")
    return table


def _original(found: Original) -> dict[str, Any]:
    from tipsc.cli.engines import quality_document

    return {"quality": quality_document(found.validation), "examples": found.validated}


def _path(path: Any) -> dict[str, Any]:
    return {
        "id": path.id,
        "why": path.why,
        "macs": path.macs,
        "parameters": path.parameters,
        "difference": path.difference,
        "engine_ms": None if path.engine_s is None else 1e3 * path.engine_s,
    }


def _stage(stage: StageOutlook) -> dict[str, Any]:
    peak = None if stage.peak_mib is None else round(stage.peak_mib * _MIB)
    return {
        "name": stage.stage,
        "seconds": stage.seconds,
        "peak_bytes": peak,
        "basis": stage.basis,
    }
