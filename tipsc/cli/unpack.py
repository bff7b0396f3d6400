"""tipsc unpack: the standard files in an engine."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH, engine_argument
from tipsc.cli.output import Output, verb
from tipsc.engine import unpack
from tipsc.report.format import plural


@verb
@engine_argument
@click.argument("folder", type=ANY_PATH)
def command(output: Output, engine: Path, folder: Path) -> None:
    """Write the standard files in ENGINE to FOLDER: a model for each path, and their weights.

    The models load in the backend's own tools without tipsc.
    """
    files = unpack(engine, folder)
    output.result(
        {"folder": str(folder), "files": [str(file) for file in files]},
        f"{plural(len(files), 'file')} in {folder}:",
        *(f"  {file.name}" for file in files),
    )
