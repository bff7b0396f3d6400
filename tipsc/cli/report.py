"""tipsc report: whether engines pay, as a page for those who decide."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH, OUTPUT_FILE
from tipsc.cli.output import Output, verb
from tipsc.errors import UsageError

_SUFFIXES = (".html", ".md")


@verb
@click.argument("engines", type=ANY_PATH, nargs=-1, required=True, metavar="ENGINE...")
@click.option(
    "--decision",
    "file",
    type=OUTPUT_FILE,
    metavar="FILE.html|FILE.md",
    help="Write the page there; without it, it is printed as Markdown.",
)
@click.option(
    "--language",
    type=click.Choice(["en", "ja"]),
    default="en",
    show_default=True,
    help="Of the page.",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Of the fleet that updates are sent to.",
)
@click.option(
    "--no-measure",
    is_flag=True,
    help="Do not build and measure the paths as separate models.",
)
def command(
    output: Output,
    engines: tuple[Path, ...],
    file: Path | None,
    language: str,
    devices: int,
    no_measure: bool,
) -> None:
    """Say whether ENGINE pays: what its paths lose and save, against separate models as well.

    Each path is built as a model of its own too, and both are measured here: storage, memory and
    calls. What was not measured says so, and where separate models are better, that stands there.
    """
    if file is not None and file.suffix not in _SUFFIXES:
        raise UsageError(
            "a page is HTML or Markdown",
            where="--decision",
            expected=" or ".join(_SUFFIXES),
            got=file.name,
        )
    from tipsc import __version__
    from tipsc.engine.atomic import write_atomically
    from tipsc.report.decision import decision, facts_of, to_html, to_markdown
    from tipsc.report.decision.texts import Texts

    texts, found = Texts(language), []
    with output.reporter() as reporter:
        for engine in engines:
            progress = reporter.begin(engine.name)
            found.append(facts_of(engine, progress, measured=not no_measure))
    blocks, footer = decision(found, texts, devices), texts("footer", version=__version__)
    markdown = to_markdown(blocks, footer)
    if file is not None:
        page = to_html(blocks, language, footer) if file.suffix == ".html" else markdown
        write_atomically(file, [page.encode()])
    output.result(
        {
            "page": None if file is None else str(file),
            "devices": devices,
            "engines": [facts.to_json() for facts in found],
        },
        markdown if file is None else f"page     {file}",
    )
