"""Every way to fail: one sentence on stderr, or with ``--format json`` one line of JSON there."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from itertools import pairwise

import click

from tipsc.cli.stopping import TERMINATED, Terminated
from tipsc.cli.terminal import say, say_headed, say_json
from tipsc.errors import MissingExtraError, TipscError
from tipsc.extras import package_of
from tipsc.printable import on_one_line
from tipsc.project.callables import place_of
from tipsc.system_errors import SystemProblem, refusal, shortage

STOPPED = 130
#: verbs whose work is kept, stage by stage
RESUMABLE = ("train", "profile", "build")
_DEFECT = "this is a defect: report it with the output of `tipsc doctor`, and of this with --debug"


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
        _tell("stopped" + (": started again, it goes on from here" if resumes else ""), "yellow")
        sigterm = isinstance(error, Terminated) or isinstance(error.__cause__, Terminated)
        return TERMINATED if sigterm else STOPPED
    if "--debug" in arguments:
        say("".join(traceback.format_exception(error)).rstrip(), err=True)
    if (problem := shortage(error)) is not None:  # it explains also what was raised from it
        return _system(problem, arguments)
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
    if isinstance(error, ModuleNotFoundError) and (known := package_of(error.name or "")):
        package, extra = known
        return report_failure(MissingExtraError.of(package, extra, "this"), arguments)
    what = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
    place = place_of(error)
    if place is not None:
        fix = "correct it there; --debug shows how it came to that"
        facts = {"what": what, "where": place, "fix": fix}
        return _fail("UserCodeError", f"{place}: {what}; {fix}", facts, 1, arguments)
    if (problem := refusal(error)) is not None:
        return _system(problem, arguments)
    kind, fix = "UnexpectedError", _DEFECT
    if isinstance(error, ModuleNotFoundError) and not (error.name or "tipsc").startswith("tipsc"):
        kind, what = "MissingExtraError", f"the module {error.name} is not installed"
        fix = "install the package that has it into the environment that tipsc runs in"
    return _fail(kind, f"{what}; {fix}", {"what": what, "fix": fix}, 1, arguments)


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


def _system(problem: SystemProblem, arguments: Sequence[str]) -> int:
    """A full disk, rights, memory: of the system, not of tipsc."""
    resumes = bool(arguments) and arguments[0] in RESUMABLE
    fix = problem.fix + ("; started again, it goes on from here" if resumes else "")
    text = f"{problem.where}: {problem.what}" if problem.where else problem.what
    facts = {"what": problem.what, "where": problem.where, "fix": fix}
    return _fail("SystemError", f"{text}; {fix}", facts, 2, arguments)


def _usage(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and context and context.parent is None:
        message += "; an option of a verb stands after the verb"
    return f"{message}; see `{context.command_path} --help`" if context else message


def _fail(
    kind: str, sentence: str, facts: dict[str, str | None], code: int, arguments: Sequence[str]
) -> int:
    if wants_json(arguments):
        say_json({"error": {"kind": kind, "exit_code": code, **facts}}, err=True)
    else:
        _tell(f"error: {sentence}", "red")
    return code


def _tell(sentence: str, color: str) -> None:
    """One line; several processes of a training say who they are."""
    rank = os.environ.get("RANK", "0")
    word, separator, rest = on_one_line(sentence).partition(":")
    prefix = on_one_line(f"process {rank}: ") + " " if rank != "0" else ""
    say_headed(prefix, word, separator + rest, color)
