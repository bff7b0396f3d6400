"""tipsc device: what a device is, whether its agent outlives failures, and removing it."""

from __future__ import annotations

import click

from tipsc.cli.output import Output, verb


@verb
@click.argument("action", type=click.Choice(["info", "selftest", "clean"]))
@click.argument("url")
def command(output: Output, action: str, url: str) -> None:
    """Ask the device at URL what it is, test it, or remove all that tipsc keeps there.

    URL is local, ssh://[user@]host[:port] or adb://serial; ?python=FILE chooses its interpreter.
    """
    from tipsc.device.client import connect
    from tipsc.device.info import lines_of, read_info
    from tipsc.device.probe import survive

    with connect(url) as device:
        if action == "info":
            info = read_info(device)
            output.result(info, *lines_of(info))
        elif action == "selftest":
            found = survive(device)
            output.result(found, *(f"{name:<18}{value}" for name, value in found.items()))
        else:
            device.clean()
            output.result({"cleaned": url}, f"nothing of tipsc is left on {url}")
