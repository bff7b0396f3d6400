"""tipsc apply: a new engine from the one that is there and a delta."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH, OUTPUT_FILE
from tipsc.cli.output import Output, verb
from tipsc.engine.delta import apply_delta
from tipsc.engine.read import read_engine


@verb
@click.argument("old", type=ANY_PATH)
@click.argument("delta", type=ANY_PATH)
@click.option(
    "-o",
    "--output",
    "file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="The new engine; by default it takes the place of OLD.",
)
def command(output: Output, old: Path, delta: Path, file: Path | None) -> None:
    """Make the new engine from the engine OLD and what `tipsc delta` wrote.

    Whatever happens in between, the file is the old engine or the new one, and whole.
    """
    read_engine(old)
    new = old if file is None else file
    apply_delta(old, delta, new)
    manifest = read_engine(new).manifest
    output.result(
        {"engine": str(new), "name": manifest.name, "paths": [path.id for path in manifest.paths]},
        f"engine  {new}: {manifest.name}, {len(manifest.paths)} paths",
    )
