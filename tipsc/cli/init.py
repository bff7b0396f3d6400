"""tipsc init: a configuration to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH
from tipsc.cli.output import Output, verb
from tipsc.errors import UsageError

FAMILIES = ("mobilenet", "transformer", "temporal")
NEXT = """\
next  1. give data.py your data: as it stands it reads data.npz, and says how to write one
      2. set classes and input_shape in tipsc.yaml
      3. tipsc score {folder}    what the supernet looks like, before any training
         tipsc build {folder}    train, measure, compile, verify"""


@verb
@click.argument("folder", type=ANY_PATH, default=Path())
@click.option(
    "--family",
    type=click.Choice(FAMILIES),
    default="mobilenet",
    show_default=True,
    help="Images: mobilenet, transformer. Time series: temporal.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def command(output: Output, folder: Path, family: str, force: bool) -> None:
    """Write a commented tipsc.yaml and data.py into FOLDER (by default the current one)."""
    templates = resources.files("tipsc.cli") / "templates"
    contents = {
        folder / "tipsc.yaml": (templates / f"{family}.yaml").read_text(encoding="utf-8"),
        folder / "data.py": (templates / "data.py.txt").read_text(encoding="utf-8"),
    }
    present = [str(file) for file in contents if file.exists()]
    if present and not force:
        raise UsageError(
            "there is one already", where=", ".join(present), fix="add --force to overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", where=str(folder)) from error
    output.result(
        {"family": family, "files": [str(file) for file in contents]},
        *(f"written  {file}" for file in contents),
    )
    output.note(NEXT.format(folder=folder))
