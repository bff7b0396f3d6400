"""tipsc embed: a project to begin an application with, around an engine."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH, engine_argument
from tipsc.cli.output import Output, verb
from tipsc.embed import LANGUAGES, write_project


@verb
@engine_argument
@click.option("--lang", type=click.Choice(list(LANGUAGES)), required=True, help="The language.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=ANY_PATH,
    metavar="DIR",
    help="The project; by default a folder called after the engine, here.",
)
def command(output: Output, engine: Path, lang: str, folder: Path | None) -> None:
    """Write a small project around a copy of ENGINE, which builds and runs as it is.

    A loop with frames at a fixed rate, each answered before the next is due, with a log; where to
    put your own camera and what you do with the answers is marked.
    """
    place = folder or Path(f"{engine.stem}-{lang}")
    project = write_project(engine, lang, place)
    commands = (f"cd {place}", *project.run)
    output.result(
        {
            "engine": str(engine),
            "language": lang,
            "folder": str(place),
            "files": [str(file) for file in project.files],
            "run": list(project.run),
        },
        *(f"written  {file}" for file in project.files),
        *(f"{'next' if not at else '':<9}{line}" for at, line in enumerate(commands)),
    )
