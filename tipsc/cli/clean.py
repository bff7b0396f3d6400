"""tipsc clean: what earlier builds left behind."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tipsc.cli.options import config_argument
from tipsc.cli.output import Output, verb, wrapped
from tipsc.errors import ConfigError
from tipsc.pipeline.cleaning import KeptStages, OldStage, kept_stages, old_stages, remove
from tipsc.report.format import byte_size, plural
from tipsc.strict.strict_yaml import read_mapping

FILE_NAME = "tipsc.yaml"


@verb
@config_argument
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--all", "everything", is_flag=True, help="The stages of the last builds as well.")
def command(output: Output, config: Path, dry_run: bool, everything: bool) -> None:
    """Remove the stages of CONFIG that no build as it is now goes back to.

    The last build for each target keeps its stages, and so does the last for several targets that
    have one training; engines, reports and profiles stay where they are.
    """
    folder = _folder_of(config)
    old = old_stages(folder, everything=everything)
    kept = () if everything else kept_stages(folder)
    if not dry_run:
        remove(folder, old)
    total = sum(stage.bytes for stage in old)
    left = sum(stages.bytes for stages in kept)
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
                    "targets": stage.targets,
                }
                for stage in old
            ],
            "kept": [asdict(stages) for stages in kept],
        },
        *(f"{byte_size(stage.bytes):>9}  {stage.folder}{_remark(stage)}" for stage in old),
        *wrapped(map(_kept, kept)),
        f"{plural(len(old), 'stage')} {word}, {byte_size(total)}",
        *wrapped(
            [f"--all removes what stays too, {byte_size(left)}: the next build then begins anew"]
            if left
            else []
        ),
    )


def _remark(stage: OldStage) -> str:
    """What one cannot see by its name."""
    remarks = [f"one training for {stage.targets} targets"] if stage.targets > 1 else []
    remarks += [] if stage.done else ["not finished"]
    return f"  ({', '.join(remarks)})" if remarks else ""


def _kept(stages: KeptStages) -> str:
    targets = " and ".join(stages.targets)
    together = ", which have one training" if len(stages.targets) > 1 else ""
    return (
        f"{byte_size(stages.bytes):>9}  stays: {plural(stages.stages, 'stage')} of the build for "
        f"{targets}{together}"
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
