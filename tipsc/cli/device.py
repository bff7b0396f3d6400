"""tipsc device: what a device is, whether all works there, and removing what tipsc left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tipsc.cli.options import ANY_PATH, OUTPUT_FILE
from tipsc.cli.output import Output, verb, wrapped
from tipsc.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from tipsc.device.client import Connection

_MOST_SHOWN = 82  # characters of a check; the report has all


@verb
@click.argument("action", type=click.Choice(["info", "selftest", "clean", "read"]))
@click.argument("urls", nargs=-1, required=True, metavar="URL|FILE...")
@click.option(
    "--engine",
    type=ANY_PATH,
    metavar="FILE",
    help="selftest: an engine for that device, to be built and measured there as well.",
)
@click.option(
    "--report",
    "report_file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="selftest: all of it, as JSON.",
)
def command(
    output: Output,
    action: str,
    urls: tuple[str, ...],
    engine: Path | None,
    report_file: Path | None,
) -> None:
    """Ask the device at URL what it is, test it, or remove all that tipsc keeps there.

    URL is local, ssh://[user@]host[:port] or adb://serial; ?python=FILE chooses its interpreter.
    selftest provokes each failure and sees the next job work, and tries what the device has; its
    report names no user and no host, so that it can be sent to somebody. read shows such reports
    side by side, with the latencies of their paths.
    """
    from tipsc.device.client import connect
    from tipsc.device.info import lines_of, read_info

    if action != "selftest" and (engine or report_file):
        raise UsageError("--engine and --report go with selftest only", got=action)
    if action == "read":
        _read(output, [Path(name) for name in urls])
        return
    if len(urls) > 1:
        raise UsageError("one device at a time", expected="a URL", got=" ".join(urls))
    (url,) = urls
    with connect(url) as device:
        if action == "info":
            info = read_info(device)
            output.result(info, *wrapped(lines_of(info)))
        elif action == "selftest":
            _selftest(output, device, engine, report_file)
        else:
            left = device.clean()
            stays = (
                f"; what others put into its folder stays: {', '.join(left[:5])}" if left else ""
            )
            output.result(
                {"cleaned": url, "left": left}, f"nothing of tipsc is left on {url}{stays}"
            )


def _selftest(
    output: Output, device: Connection, engine: Path | None, report_file: Path | None
) -> None:
    from tipsc.pipeline.device_report import FAILED, DeviceCheck, examine_device, write_report

    checks: list[DeviceCheck] = []
    for check in examine_device(device, engine):
        checks.append(check)
        output.note(f"{check.status:<8}{check.name:<10}{_shown(check.found)}")
    if report_file is not None:
        write_report(report_file, checks)
    output.result(
        {check.name: {"status": check.status, "found": check.found} for check in checks},
        *([f"report   {report_file}"] if report_file else []),
    )
    failed = [check for check in checks if check.status == FAILED]
    if failed:
        raise DeviceError(
            f"{len(failed)} of {len(checks)} checks failed",
            where=device.link.url,
            got="; ".join(f"{check.name}: {check.found}" for check in failed),
        )


def _read(output: Output, files: Sequence[Path]) -> None:
    """Reports of several devices, side by side."""
    from rich.text import Text

    from tipsc.pipeline.device_reports import read_report, shown
    from tipsc.report.tables import plain_table

    reports = [read_report(file) for file in files]
    names = list(dict.fromkeys(check.name for report in reports for check in report.checks))
    checks, latencies = plain_table(), plain_table()
    for heading in ("", "device", *names):
        checks.add_column(Text(shown(heading)))
    for number, report in enumerate(reports, 1):
        status = {check.name: check.status for check in report.checks}
        cells = (str(number), report.device, *(status.get(name, "") for name in names))
        checks.add_row(*map(Text, cells))
    paths = list(dict.fromkeys(path for report in reports for path in report.latencies))
    latencies.add_column("path")
    for number in range(1, len(reports) + 1):
        latencies.add_column(f"{number}: p50 ms", justify="right")
    for path in paths:
        times = [report.latencies.get(path) for report in reports]
        latencies.add_row(Text(path), *("" if t is None else f"{t:.4g}" for t in times))
    output.result(
        {
            str(file): report.model_dump(mode="json")
            for file, report in zip(files, reports, strict=True)
        },
        *(
            f"{number}  {file}: tipsc {shown(report.tipsc)}, {shown(report.taken)}"
            for number, (file, report) in enumerate(zip(files, reports, strict=True), 1)
        ),
        checks,
        *wrapped(
            f"{number}, {shown(check.name)}: {shown(check.found, 400)}"
            for number, report in enumerate(reports, 1)
            for check in report.checks
            if check.status == "failed"
        ),
        *([latencies] if paths else []),
    )


def _shown(found: object) -> str:
    """What a check found, in one line: the report has all of it."""
    facts = found.items() if isinstance(found, dict) else ()
    text = ", ".join(f"{key} {value}" for key, value in facts if value is not None) or str(found)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
