"""What `tipsc init` asks in a terminal, where no option says it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tipsc.cli.places import data_place, model_place
from tipsc.cli.starts import STARTS, Wanted, check_together
from tipsc.cli.terminal import say
from tipsc.errors import TipscError, UsageError, near

_SAMPLE = "a sample"


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(folder: Path) -> Wanted:
    """What is wanted of a project in `folder`; Enter takes what stands in brackets."""
    say("What is the model for? Enter takes what stands in [brackets].\n", err=True)
    width = max(map(len, STARTS))
    for number, (name, start) in enumerate(STARTS.items(), 1):
        say(f"  {number}  {name:<{width}}  {start.about}", err=True)
    task = _asked("Task", next(iter(STARTS)), _task)
    say("\nA project can begin with a sample, which you replace later.", err=True)
    model = _asked(
        "Your model, FILE.py:FUNCTION or FILE.onnx",
        _SAMPLE,
        lambda given: None if given == _SAMPLE else model_place(given, folder),
    )

    def data(given: str) -> str | None:
        place = None if given == _SAMPLE else data_place(given, folder)
        check_together(model, place)
        return place

    chosen = _asked("Your data, FILE.npz or FILE.py:FUNCTION", _SAMPLE, data)
    say("\nWhat will it run on? host is this machine, ? lists the others.", err=True)
    return Wanted(task=task, model=model, data=chosen, target=_asked("Target", "host", _target))


def _asked(question: str, default: str, read: Callable[[str], object]) -> Any:
    """Asks until the answer can be read."""

    def value(given: str) -> object:
        try:
            return read(given.strip())
        except TipscError as error:
            raise click.UsageError(str(error)) from error

    return click.prompt(question, default=default, value_proc=value, err=True)


def _task(given: str) -> str:
    names = list(STARTS)
    if given.isdecimal() and 0 < int(given) <= len(names):
        return names[int(given) - 1]
    if given not in names:
        raise UsageError(f"there is no task {given!r}", fix=near(given, names))
    return given


def _target(given: str) -> str:
    from tipsc.project.target import list_targets, load_target

    if given == "?":
        raise UsageError("\n  ".join(["these are known:", *list_targets()]))
    load_target(given)
    return given
