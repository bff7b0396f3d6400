"""Where things are printed: results on stdout, all else on stderr; and the options of all verbs."""

from __future__ import annotations

import contextlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tipsc.cli.progress import BarReporter, CommandReporter, LineReporter, SilentReporter
from tipsc.cli.stdout import stdout_on_stderr
from tipsc.cli.terminal import PIPE_WIDTH, console, say, say_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_CUT = "…"  # what rich puts where it leaves something out

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Output:
    """How a verb speaks.

    Attributes:
        as_json: one JSON document on stdout, and nothing else there.
        quiet: no progress and no notes.
        documents: results that wait, as JSON, until nothing else can print on stdout.
    """

    as_json: bool = False
    quiet: bool = False
    documents: list[Any] = field(default_factory=list)

    @cached_property
    def stdout(self) -> Console:
        made = console()
        return made if made.is_terminal else console(width=PIPE_WIDTH)

    @cached_property
    def stderr(self) -> Console:
        return console(stderr=True)

    def result(self, document: Any, *parts: RenderableType) -> None:
        """Prints the result: `document` as JSON, or `parts` for people, each on its own lines."""
        if self.as_json:
            self.documents.append(document)
            return
        for part in parts:
            if isinstance(part, str):
                say(part)
            else:
                _print_whole(self.stdout, part)

    def note(self, text: str) -> None:
        """A remark on stderr."""
        if not self.quiet:
            say(text, err=True)

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
        try:
            with stdout_on_stderr() if output.as_json else contextlib.nullcontext():
                return function(output, **arguments)
        finally:  # what several devices gave is printed though one of them failed
            for document in output.documents:
                say_json(document)

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
    """Prose within 100 columns, or within those of a terminal that has fewer."""
    width = min(PIPE_WIDTH, shutil.get_terminal_size((PIPE_WIDTH, 24)).columns)
    return [
        line
        for text in texts
        for line in textwrap.wrap(
            text,
            width if sys.stdout.isatty() else PIPE_WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _print_whole(drawn: Console, part: RenderableType) -> None:
    """Prints a table with all of its figures: one that is cut says nothing. Where a terminal is too
    narrow for them, lines of 100 columns go on in the next line.
    """
    with drawn.capture() as taken:
        drawn.print(part)
    if drawn.width < PIPE_WIDTH and _CUT in taken.get():
        drawn = console(width=PIPE_WIDTH)
    drawn.print(part)
