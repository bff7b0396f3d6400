"""tipsc doctor: is this installation well, and what is it."""

from __future__ import annotations

from tipsc.cli.output import Output, verb


@verb
def command(output: Output) -> None:
    """Examine this installation: versions, backends, the machine. Goes into a bug report."""
    from tipsc.doctor import examine

    found = examine()
    output.result(found.to_json(), str(found))
