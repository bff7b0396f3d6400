"""tipsc clean: what earlier builds left behind."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import config_argument
from tipsc.cli.output import Output, verb
from tipsc.pipeline.cleaning import old_stages, remove
from tipsc.report.format import byte_size, plural


@verb
@config_argument
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--all", "everything", is_flag=True, help="The stages of the last builds as well.")
def command(output: Output, config: Path, dry_run: bool, everything: bool) -> None:
    """Remove the stages of CONFIG that no build as it is now goes back to.

    The last build for each target keeps its stages; engines, reports and profiles stay where they
    are.
    """
    from tipsc.project.config import load_config

    _, folder = load_config(config)
    old = old_stages(folder, everything=everything)
    if not dry_run:
        remove(folder, old)
    total = sum(stage.bytes for stage in old)
    word = "would be removed" if dry_run else "removed"
    output.result(
        {
            "dry_run": dry_run,
            "bytes": total,
            "stages": [
                {
                    "folder": str(stage.folder),
                    "name": stage.name,
                    "bytes": stage.bytes,
                    "done": stage.done,
                }
                for stage in old
            ],
        },
        *(
            f"{byte_size(stage.bytes):>9}  {stage.folder}{'' if stage.done else '  (not finished)'}"
            for stage in old
        ),
        f"{plural(len(old), 'stage')} {word}, {byte_size(total)}",
    )
