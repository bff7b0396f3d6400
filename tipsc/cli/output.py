"""Where things are printed: results on stdout, all else on stderr; and the options of all verbs."""

from __future__ import annotations

import contextlib
import json
import math
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tipsc.cli.progress import BarReporter, CommandReporter, LineReporter, SilentReporter
from tipsc.cli.stdout import stdout_on_stderr

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Function = TypeVar("Function", bound=Callable[..., Any])
#: of tables where stdout is no terminal: a pipe has no width, and cut cells are of no use
PIPE_WIDTH = 100


@dataclass(frozen=True)
class Output:
    """How a verb speaks.

    Attributes:
        as_json: one JSON document on stdout, and nothing else there.
        quiet: no progress and no notes.
        documents: JSON that waits until nothing else can print on stdout.
    """

    as_json: bool = False
    quiet: bool = False
    documents: list[str] = field(default_factory=list)

    @cached_property
    def stdout(self) -> Console:
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=False)
        return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)

    @cached_property
    def stderr(self) -> Console:
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    def result(self, document: Any, *parts: RenderableType) -> None:
        """Prints the result: `document` as JSON, or `parts` for people, each on its own lines."""
        if self.as_json:
            self.documents.append(json.dumps(_finite(document), indent=2, ensure_ascii=False))
            return
        for part in parts:
            if isinstance(part, str):
                click.echo(part)  # no wrapping: it may be a file name to copy
            else:
                self.stdout.print(part)

    def note(self, text: str) -> None:
        """A remark on stderr."""
        if not self.quiet:
            click.echo(text, err=True)

    def reporter(self) -> CommandReporter:
        """Shows progress on stderr: bars on a terminal, else now and then a line."""
        if self.quiet:
            return SilentReporter()
        return BarReporter(self.stderr) if self.stderr.is_terminal else LineReporter()


def verb(function: Function) -> click.Command:
    """Makes a function the command of a verb: its options, and those that all verbs have.

    The function gets an :class:`Output` as its first argument; its docstring is the help.
    """

    def command(*, output_format: str, quiet: bool, debug: bool, **arguments: Any) -> Any:
        output = Output(output_format == "json", quiet)
        with stdout_on_stderr() if output.as_json else contextlib.nullcontext():
            code = function(output, **arguments)
        for document in output.documents:
            click.echo(document)
        return code

    update_wrapper(command, function)  # carries the parameters that click's decorators left
    wrapped: Callable[..., Any] = command
    for option in (
        click.option("--debug", is_flag=True, help="On an error, show where it arose."),
        click.option("-q", "--quiet", is_flag=True, help="No progress, no notes."),
        click.option(
            "--format",
            "output_format",
            type=click.Choice(["text", "json"]),
            default="text",
            help="What to print on stdout.",
        ),
    ):
        wrapped = option(wrapped)
    params = list(getattr(command, "__click_params__", []))
    command.__click_params__ = params[len(params) - 3 :] + params[: len(params) - 3]  # type: ignore[attr-defined]
    return click.command()(wrapped)


def wrapped(texts: Iterable[str]) -> list[str]:
    """Prose within 100 columns."""
    return [
        line
        for text in texts
        for line in textwrap.wrap(
            text, PIPE_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    ]


def _finite(value: Any) -> Any:
    """NaN and infinities are no JSON: null stands for them."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
