"""tipsc init: a project to start from."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from tipsc.cli.asking import ask, can_ask
from tipsc.cli.options import ANY_PATH
from tipsc.cli.output import Output, verb
from tipsc.cli.places import data_place, model_place
from tipsc.cli.starts import FAMILIES, STARTS, Wanted, check_together, files_of
from tipsc.engine.atomic import write_atomically
from tipsc.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DEFAULT_NAME = "my_model"


@verb
@click.argument("folder", type=ANY_PATH, default=Path())
@click.option("--task", type=click.Choice(list(STARTS)), help="What the model is for.")
@click.option(
    "--model",
    metavar="FILE.py:FUNCTION|FILE.onnx",
    help="Your trained model; by default a small sample net.",
)
@click.option(
    "--data",
    metavar="FILE.npz|FILE.py:FUNCTION",
    help="Your data; by default a small sample.",
)
@click.option("--target", metavar="NAME|FILE", help="What to build for; by default this machine.")
@click.option("--name", help="Of the engine; by default my_model.")
@click.option(
    "--family",
    type=click.Choice(list(FAMILIES)),
    help="In place of a trained model a supernet of tipsc, which is trained from scratch.",
)
@click.option("--plain", "task", flag_value="classification", help="As --task classification.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def command(
    output: Output,
    folder: Path,
    task: str | None,
    model: str | None,
    data: str | None,
    target: str | None,
    name: str | None,
    family: str | None,
    force: bool,
) -> None:
    """Write a project that builds as it stands into FOLDER (by default the current one).

    In a terminal it asks for the task, the model, the data and the target, unless an option says
    one of them. What is not given is a sample: two functions are marked to be replaced.
    """
    if (settings := folder / "tipsc.yaml").exists() and not force:
        raise _present(settings)
    if any((task, model, data, target, name, family)) or output.as_json or not can_ask():
        wanted = _wanted(folder, Wanted(task or "", family, model, data, target or "", name or ""))
    else:
        wanted = ask(folder)
    contents = {folder / file: text for file, text in files_of(wanted).items()}
    if not force and (present := [file for file in contents if file.exists()]):
        raise _present(*present)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_atomically(file, [content])
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", where=str(folder)) from error
    output.result(
        {
            "task": wanted.task,
            "family": wanted.family,
            "target": wanted.target,
            "files": [str(file) for file in contents],
        },
        *(f"written  {file}" for file in contents),
    )
    for line in _next(wanted, folder):
        output.note(line)


def _present(*files: Path) -> UsageError:
    where = ", ".join(map(str, files))
    return UsageError("there is one already", where=where, fix="add --force to overwrite")


def _wanted(folder: Path, given: Wanted) -> Wanted:
    """What the options say, with defaults for what they leave out.

    Raises:
        UsageError: two of them exclude each other, or name nothing that is there.
    """
    for option, value in (("--task", given.task), ("--model", given.model)):
        if given.family and value:
            raise UsageError(
                "a family is a supernet in place of a plain model",
                got=f"--family {given.family} and {option} {value}",
                fix="leave one of both out",
            )
    if given.name and not _NAME.fullmatch(given.name):
        raise UsageError(
            "this cannot be a name",
            where="--name",
            expected="letters, digits, - and _, no space; a letter or digit first",
            got=given.name,
        )
    if given.target:
        from tipsc.project.target import load_target

        load_target(given.target)
    model = model_place(given.model, folder) if given.model else None
    data = data_place(given.data, folder) if given.data else None
    if not given.family:
        check_together(model, data)
    return Wanted(
        task=FAMILIES[given.family] if given.family else given.task or next(iter(STARTS)),
        family=given.family,
        model=model,
        data=data,
        target=given.target or "host",
        name=given.name or DEFAULT_NAME,
    )


def _next(wanted: Wanted, folder: Path) -> Iterator[str]:
    """What to do with it."""
    where = f"{shlex.quote(str(folder))}{wanted.to_target}"
    yours = [
        f"{function} in {file}"
        for file, function, given in (
            ("model.py", "load", wanted.model or wanted.family),
            ("data.py", "read", wanted.data),
            ("task.py", "TooLittle", None if wanted.task == "own" else wanted),
        )
        if not given
    ]
    yield f"next  1. tipsc check {where}"
    yield "         what would fail, and how long a build takes, in seconds"
    yield f"      2. tipsc build {where}"
    if wanted.model or wanted.data:
        yield "         from what you named, to an engine"
    else:
        yield "         works as it stands, with a sample of data, in a minute or two"
    if yours:
        yield f"      3. replace what is marked with YOURS: {', '.join(yours)}"
    if wanted.family:
        yield "         and set classes and input_shape in tipsc.yaml"
