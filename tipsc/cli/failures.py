"""Every way to fail: one sentence on stderr, or with ``--format json`` one line of JSON there."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise

import click

from tipsc.callables import place_of
from tipsc.cli.stopping import TERMINATED, Terminated
from tipsc.errors import MissingExtraError, TipscError

STOPPED = 130
#: verbs whose work is kept, stage by stage
RESUMABLE = ("train", "profile", "build")


def report_failure(
    error: Exception | KeyboardInterrupt | SystemExit, arguments: Sequence[str]
) -> int:
    """Prints what went wrong, and gives the exit code.

    Args:
        error: what ended the command.
        arguments: of the command. They are looked at here because the failure may be that they
            could not be parsed.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        resumes = bool(arguments) and arguments[0] in RESUMABLE
        _say("stopped" + (": started again, it goes on from here" if resumes else ""), "yellow")
        sigterm = isinstance(error, Terminated) or isinstance(error.__cause__, Terminated)
        return TERMINATED if sigterm else STOPPED
    if "--debug" in arguments:
        traceback.print_exception(error)
    if isinstance(error, SystemExit):  # no verb ends so: code of the user's that a verb called
        return _fail_by_exit(error, arguments)
    if isinstance(error, TipscError):
        facts = {
            name: None if (value := getattr(error, name)) is None else str(value)
            for name in ("what", "where", "expected", "got", "fix")
        }
        return _fail(type(error).__name__, str(error), facts, error.exit_code, arguments)
    if isinstance(error, click.ClickException):
        return _fail("UsageError", _usage(error), {"what": error.format_message()}, 2, arguments)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "tipsc").startswith("tipsc"):
        return report_failure(MissingExtraError.of(error.name or "", "train", "this"), arguments)
    what = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
    place = place_of(error)
    if place is not None:
        fix = "correct it there; --debug shows how it came to that"
        facts = {"what": what, "where": place, "fix": fix}
        return _fail("UserCodeError", f"{place}: {what}; {fix}", facts, 1, arguments)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        # A full disk, a folder that is not there: of the system, not of tipsc.
        what = f"{error.strerror[:1].lower()}{error.strerror[1:]}"
        place, fix = str(error.filename), "look at this path, and at the space and rights there"
        facts = {"what": what, "where": place, "fix": fix}
        return _fail("SystemError", f"{place}: {what}; {fix}", facts, 2, arguments)
    fix = "this is a defect: report it with the output of `tipsc doctor`, and of this with --debug"
    return _fail("UnexpectedError", f"{what}; {fix}", {"what": what, "fix": fix}, 1, arguments)


def _fail_by_exit(error: SystemExit, arguments: Sequence[str]) -> int:
    """A script that ends with sys.exit(0) has not done what it was called for."""
    asked = traceback.extract_tb(error.__traceback__)[-1]
    place = place_of(error) or f"{asked.filename}, line {asked.lineno}"
    given = "" if error.code is None else repr(error.code)
    what = f"this code ended the program: sys.exit({given})"
    fix = 'let it return or raise; what runs as a script belongs under if __name__ == "__main__":'
    facts: dict[str, str | None] = {"what": what, "where": place, "fix": fix}
    return _fail("UserCodeError", f"{place}: {what}; {fix}", facts, 1, arguments)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for JSON, parsed or not."""
    pairs = list(pairwise(arguments))
    return "--format=json" in arguments or ("--format", "json") in pairs


def _usage(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    return f"{message}; see `{context.command_path} --help`" if context else message


def _fail(
    kind: str, sentence: str, facts: dict[str, str | None], code: int, arguments: Sequence[str]
) -> int:
    if wants_json(arguments):
        print(json.dumps({"error": {"kind": kind, "exit_code": code, **facts}}), file=sys.stderr)
    else:
        _say(f"error: {sentence}", "red")
    return code


def _say(sentence: str, color: str) -> None:
    """One line; several processes of a training say who they are."""
    rank = os.environ.get("RANK", "0")
    prefix = f"process {rank}: " if rank != "0" else ""
    word, separator, rest = sentence.partition(":")
    # click.echo drops the color where stderr is no terminal.
    click.echo(prefix + click.style(word, fg=color, bold=True) + separator + rest, err=True)
