"""tipsc doctor: is this installation well, and what is it."""

from __future__ import annotations

import click

from tipsc.cli.output import Output, verb


@verb
def command(output: Output) -> None:
    """Examine this installation: versions, backends, the machine, a self-test.

    The text names no user, host or folder, so that it can go into a bug report as it is.
    """
    from tipsc.device.doctor import examine

    found = examine()
    output.result(found.to_json(), str(found))
    if not found.healthy:
        raise click.exceptions.Exit(1)
