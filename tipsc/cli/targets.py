"""tipsc targets: what can be built for, and a new one from what a device says."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import OUTPUT_FILE
from tipsc.cli.output import Output, verb
from tipsc.errors import UsageError
from tipsc.project.target import SUFFIX, Target, list_targets, load_target
from tipsc.report.format import plural

NEW = "new"


@verb
@click.argument("name", required=False)
@click.argument("new_name", required=False, metavar="[NEW_NAME]")
@click.option(
    "--from-device",
    "device",
    metavar="URL",
    help="With new: the device to ask; ssh://[user@]host[:port], adb://serial or local.",
)
@click.option(
    "--output",
    "output_file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="With new: where the target goes; by default NEW_NAME.yaml.",
)
@click.option("--backend", metavar="NAME", help="With new: by default the first that is there.")
def command(
    output: Output,
    name: str | None,
    new_name: str | None,
    device: str | None,
    output_file: Path | None,
    backend: str | None,
) -> None:
    """List the kinds of devices that can be built for, or show the one called NAME.

    NAME may also be a target file, which is checked by it. `tipsc targets new NEW_NAME
    --from-device URL` writes a target file from what a device says of itself.
    """
    if name == NEW:
        _write(output, new_name, device, output_file, backend)
        return
    if new_name or device or output_file or backend:
        raise UsageError(f"this goes with 'tipsc targets {NEW}' only", got=new_name or device)
    if name is not None:
        document = load_target(name).model_dump(mode="json")
        output.result(document, *_lines(document))
        return
    from tipsc.report.tables import plain_table

    targets = [load_target(known) for known in list_targets()]
    table = plain_table()
    for heading in ("target", "backend", "threads", "description"):
        table.add_column(heading, justify="right" if heading == "threads" else "left")
    for target in targets:
        table.add_row(target.name, target.backend, str(target.threads), target.description)
    document = {"targets": [_summary(target) for target in targets]}
    output.result(document, table)
    output.note(f"{plural(len(targets), 'target')}; a file of your own goes as --target FILE.yaml")


def _write(
    output: Output, name: str | None, url: str | None, file: Path | None, backend: str | None
) -> None:
    if name is None or url is None:
        raise UsageError(
            "a new target needs a name and a device",
            fix=f"run: tipsc targets {NEW} NAME --from-device URL",
        )
    from tipsc.device.client import connect
    from tipsc.device.info import read_info
    from tipsc.device.new_target import write_target

    file = file or Path(f"{name}{SUFFIX}")
    with connect(url) as connection:
        info = read_info(connection)
    target = write_target(name, info, file, backend)
    output.result(
        {"file": str(file), "target": target.model_dump(mode="json")},
        file.read_text(encoding="utf-8").rstrip(),
        f"written to {file}; build with --target {file}",
    )


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
