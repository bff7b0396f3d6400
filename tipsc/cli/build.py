"""tipsc build: from a configuration to a verified engine."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH, config_argument, connected, device_option, target_option
from tipsc.cli.output import Output, verb


@verb
@config_argument
@target_option
@device_option
@click.option(
    "--output", "output_file", type=ANY_PATH, metavar="FILE", help="Where the engine goes."
)
@click.option(
    "--report", "report_file", type=ANY_PATH, metavar="FILE", help="Write the report here as well."
)
def command(
    output: Output,
    config: Path,
    target: str,
    device: str | None,
    output_file: Path | None,
    report_file: Path | None,
) -> None:
    """Train, measure, choose, compile and verify: everything that is missing for CONFIG.

    Each stage is kept. A build that was stopped, even by kill -9, goes on when it is started
    again; a build for another target trains nothing again.
    """
    from tipsc.build import Pipeline
    from tipsc.cli.building import stage_document
    from tipsc.cli.engines import path_document
    from tipsc.engine import read_engine
    from tipsc.report import shipped_table, write

    with connected(device) as there, output.reporter() as reporter:
        pipeline = Pipeline(config, target, reporter=reporter, output=output_file, device=there)
        built = pipeline.run()
    if report_file is not None:
        write(built.report, report_file)
    page = report_file or built.page
    manifest = read_engine(built.engine).manifest
    output.result(
        {
            "engine": str(built.engine),
            "report": str(page),
            "profile": str(built.profile),
            "target": manifest.target,
            "stages": [stage_document(stage) for stage in built.stages],
            "paths": [path_document(path) for path in manifest.paths],
        },
        shipped_table(built.report),
        f"engine   {built.engine}",
        f"report   {page}",
        f"profile  {built.profile}",
    )
