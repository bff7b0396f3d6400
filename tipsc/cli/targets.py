"""tipsc targets: what can be built for."""

from __future__ import annotations

import click

from tipsc.cli.output import Output, verb
from tipsc.report.format import plural
from tipsc.target import Target, list_targets, load_target


@verb
@click.argument("name", required=False)
def command(output: Output, name: str | None) -> None:
    """List the kinds of devices that can be built for, or show the one called NAME.

    NAME may also be a target file, which is checked by it.
    """
    if name is not None:
        document = load_target(name).model_dump(mode="json")
        output.result(document, *_lines(document))
        return
    from rich import box
    from rich.table import Table

    targets = [load_target(known) for known in list_targets()]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in ("target", "backend", "threads", "description"):
        table.add_column(heading, justify="right" if heading == "threads" else "left")
    for target in targets:
        table.add_row(target.name, target.backend, str(target.threads), target.description)
    document = {"targets": [_summary(target) for target in targets]}
    output.result(document, table)
    output.note(f"{plural(len(targets), 'target')}; a file of your own goes as --target FILE.yaml")


def _summary(target: Target) -> dict[str, object]:
    return target.model_dump(mode="json", include={"name", "backend", "threads", "description"})


def _lines(document: dict[str, object], indent: str = "") -> list[str]:
    """YAML, as a target file is written."""
    lines = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines
