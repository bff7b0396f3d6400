"""The only place where the command line writes: nothing that it prints is obeyed by a terminal."""

from __future__ import annotations

import json
import math
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import click

from tipsc.printable import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console

#: of tables where stdout is no terminal: a pipe has no width, and cut cells are of no use
PIPE_WIDTH = 100


def survive_any_encoding() -> None:
    """What the encoding of stdout has no letter for is printed as an escape, and is no error."""
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


def say(text: str, *, err: bool = False) -> None:
    """One text and a newline, without wrapping: it may be a file name to copy."""
    click.echo(printable(text), err=err)


def say_headed(prefix: str, head: str, rest: str, color: str) -> None:
    """A line on stderr whose head is coloured where stderr is a terminal."""
    colored = click.style(printable(head), fg=color, bold=True)
    click.echo(printable(prefix) + colored + printable(rest), err=True)


def say_json(document: Any, *, err: bool = False) -> None:
    """JSON: indented on stdout, on one line on stderr. Exact data, whatever is in its strings."""
    text = json.dumps(_finite(document), indent=None if err else 2, ensure_ascii=err)
    click.echo(printable_json(text), err=err)


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console of rich for tables and bars.

    Text is never read as rich's markup or emoji codes: a path called ``[red]`` is printed so.
    """
    made: Console = _console_class()(
        stderr=stderr, width=width, highlight=False, markup=False, emoji=False
    )
    return made


@lru_cache(maxsize=1)
def _console_class() -> Any:  # rich is imported when something is drawn
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            # Here, where text gets its width: escapes are longer than what they stand for.
            return super().render_str(printable(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:  # of rich's own: bars move the cursor
                    yield segment
                else:
                    yield segment._replace(text=printable(segment.text))

    return PlainConsole


def _finite(value: Any) -> Any:
    """NaN and infinities are no JSON: null stands for them."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
