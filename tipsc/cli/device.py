"""tipsc device: what a device is, whether all works there, and removing what tipsc left."""

from __future__ import annotations

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
@click.argument("action", type=click.Choice(["info", "selftest", "clean"]))
@click.argument("url")
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
    output: Output, action: str, url: str, engine: Path | None, report_file: Path | None
) -> None:
    """Ask the device at URL what it is, test it, or remove all that tipsc keeps there.

    URL is local, ssh://[user@]host[:port] or adb://serial; ?python=FILE chooses its interpreter.
    selftest provokes each failure and sees the next job work, and tries what the device has; its
    report names no user and no host, so that it can be sent to somebody.
    """
    from tipsc.device.client import connect
    from tipsc.device.info import lines_of, read_info

    if action != "selftest" and (engine or report_file):
        raise UsageError("--engine and --report go with selftest only", got=action)
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


def _shown(found: object) -> str:
    """What a check found, in one line: the report has all of it."""
    facts = found.items() if isinstance(found, dict) else ()
    text = ", ".join(f"{key} {value}" for key, value in facts if value is not None) or str(found)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
