"""tipsc clean: what earlier builds left behind."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import config_argument
from tipsc.cli.output import Output, verb
from tipsc.errors import ConfigError
from tipsc.pipeline.cleaning import old_stages, remove
from tipsc.report.format import byte_size, plural
from tipsc.strict.strict_yaml import read_mapping

FILE_NAME = "tipsc.yaml"


@verb
@config_argument
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--all", "everything", is_flag=True, help="The stages of the last builds as well.")
def command(output: Output, config: Path, dry_run: bool, everything: bool) -> None:
    """Remove the stages of CONFIG that no build as it is now goes back to.

    The last build for each target keeps its stages; engines, reports and profiles stay where they
    are.
    """
    folder = _folder_of(config)
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


def _folder_of(config: Path) -> Path:
    """The folder of a configuration; it need not be valid any more to be cleaned up after.

    Raises:
        ConfigError: there is none.
    """
    file = config / FILE_NAME if config.is_dir() else config
    hint = "name the file or the folder that has one"
    read_mapping(file, ConfigError, "configuration", hint)
    return file.parent
