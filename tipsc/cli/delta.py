"""tipsc delta: what must be sent so that a device makes a new engine from the one that it has."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH, OUTPUT_FILE
from tipsc.cli.output import Output, verb
from tipsc.engine.delta import CARRIED, write_delta
from tipsc.engine.read import read_engine
from tipsc.report.format import byte_size


@verb
@click.argument("old", type=ANY_PATH)
@click.argument("new", type=ANY_PATH)
@click.option(
    "-o", "--output", "file", type=OUTPUT_FILE, required=True, metavar="FILE", help="The delta."
)
def command(output: Output, old: Path, new: Path, file: Path) -> None:
    """Write what turns the engine OLD into the engine NEW.

    `tipsc apply` makes NEW from OLD and the delta, on the device for example.
    """
    for engine in (old, new):
        read_engine(engine)  # a damaged one is not sent to anybody
    delta = write_delta(old, new, file)
    size, copied = file.stat().st_size, int((delta.pieces[:, 0] != CARRIED).sum())
    output.result(
        {
            "delta": str(file),
            "bytes": size,
            "engine_bytes": delta.target_length,
            "carried_bytes": len(delta.carried),
            "pieces": len(delta.pieces),
            "base_sha256": delta.base_sha256.hex(),
            "engine_sha256": delta.target_sha256.hex(),
        },
        f"delta   {file}",
        f"size    {byte_size(size)} of {byte_size(delta.target_length)}, "
        f"{size / delta.target_length:.1%}; {byte_size(len(delta.carried))} are new, "
        f"the rest is copied in {copied} pieces",
    )
