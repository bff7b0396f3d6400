"""tipsc init: a configuration to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH
from tipsc.cli.output import Output, verb
from tipsc.engine.atomic import write_atomically
from tipsc.errors import UsageError

FAMILIES = ("mobilenet", "transformer", "temporal")
#: file to write, and the template that it is from
PLAIN = {
    "tipsc.yaml": "plain.yaml",
    "model.py": "model.py.txt",
    "data.py": "data.py.txt",
    "data.npz": "digits.npz",
}
NEXT = """\
next  1. give data.py your data: as it stands it reads data.npz, and says how to write one
      2. set classes and input_shape in tipsc.yaml
      3. tipsc score {folder}    what the supernet looks like, before any training
         tipsc build {folder}    train, measure, compile, verify"""
NEXT_PLAIN = """\
next  1. tipsc build {folder}    works as it stands, in about a minute: a small net that learns the
         handwritten digits in data.npz (E. Alpaydin, C. Kaynak, UCI repository, CC BY 4.0)
      2. put your own model into model.py and your data into data.py or data.npz, and build again"""


@verb
@click.argument("folder", type=ANY_PATH, default=Path())
@click.option(
    "--family",
    type=click.Choice(FAMILIES),
    help="A supernet. Images: mobilenet (the default), transformer. Time series: temporal.",
)
@click.option("--plain", is_flag=True, help="Instead: a plain torch model, to be made elastic.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def command(output: Output, folder: Path, family: str | None, plain: bool, force: bool) -> None:
    """Write a commented tipsc.yaml and data.py into FOLDER (by default the current one).

    With --plain also a model.py, with a small model in plain torch, and data: a project that
    builds as it stands.
    """
    if plain and family is not None:
        raise UsageError(
            "a plain model is of no family", got=f"--family {family}", fix="leave one of both out"
        )
    family = family or FAMILIES[0]
    names = PLAIN if plain else {"tipsc.yaml": f"{family}.yaml", "data.py": "data.py.txt"}
    templates = resources.files("tipsc.cli") / "templates"
    contents = {folder / name: (templates / from_).read_bytes() for name, from_ in names.items()}
    present = [str(file) for file in contents if file.exists()]
    if present and not force:
        raise UsageError(
            "there is one already", where=", ".join(present), fix="add --force to overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_atomically(file, [content])
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", where=str(folder)) from error
    output.result(
        {"family": None if plain else family, "files": [str(file) for file in contents]},
        *(f"written  {file}" for file in contents),
    )
    output.note((NEXT_PLAIN if plain else NEXT).format(folder=folder))
