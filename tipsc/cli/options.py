"""Arguments that several verbs take."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tipsc.errors import UsageError

if TYPE_CHECKING:
    from tipsc.device.measuring import Device

Function = TypeVar("Function", bound=Callable[..., Any])

#: whether they exist is judged by the library, whose errors say more
ANY_PATH = click.Path(path_type=Path)


class OutputFile(click.Path):
    """A file to write: one that cannot be written is refused before the work, not after it."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        file = Path(os.fsdecode(super().convert(value, param, ctx)))
        problem, fix = None, "name a file in a folder that can be written"
        if file.is_dir():
            problem, fix = "this is a folder", "name a file in it"
        elif file.exists() and not file.is_file():
            problem = "this is no file"
        elif not file.parent.is_dir():
            problem, fix = "there is no such folder", "make it, or name another"
        elif not os.access(file.parent, os.W_OK | os.X_OK):
            problem = "its folder may not be written"
        if problem is not None:
            raise UsageError(problem, where=str(file), fix=fix)
        return file


class Number(click.FloatRange):
    """A finite number in a range; NaN is in none, though click lets it pass."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


OUTPUT_FILE = OutputFile()
#: seeds of NumPy and torch alike
SEED = click.IntRange(0, 2**63 - 1)


def config_argument(function: Function) -> Function:
    """CONFIG: a tipsc.yaml, or a folder that has one."""
    return click.argument("config", type=ANY_PATH)(function)


def engine_argument(function: Function) -> Function:
    """ENGINE: an engine file."""
    return click.argument("engine", type=ANY_PATH)(function)


def target_option(function: Function) -> Function:
    """--target: a name that `tipsc targets` lists, or a file."""
    return click.option(
        "--target",
        default="host",
        show_default=True,
        metavar="NAME|FILE",
        help="What to build for; `tipsc targets` lists the names.",
    )(function)


def targets_option(function: Function) -> Function:
    """--target, once or several times: as `targets`."""
    return click.option(
        "--target",
        "targets",
        multiple=True,
        default=("host",),
        show_default="host",
        metavar="NAME|FILE",
        help="What to build for; `tipsc targets` lists the names. Several share one training.",
    )(function)


def threads_option(function: Function) -> Function:
    """--threads: of one call; by default those of the engine's target."""
    return click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Threads of one call; by default as the engine's target says.",
    )(function)


def device_option(function: Function) -> Function:
    """--device: the machine to measure and verify on."""
    return click.option(
        "--device",
        metavar="URL",
        help="Where to measure: ssh://[user@]host[:port], adb://serial or local; by default here.",
    )(function)


def devices_option(function: Function) -> Function:
    """--device: of one target, or of each by its name; as `devices`."""
    return click.option(
        "--device",
        "devices",
        multiple=True,
        metavar="URL|TARGET=URL",
        help="Where to measure: ssh://[user@]host[:port], adb://serial or local; by default here. "
        "Of several targets TARGET=URL, for each that is not here.",
    )(function)


def wait_quiet_option(function: Function) -> Function:
    """--wait-quiet: measure when nothing else runs there."""
    return click.option(
        "--wait-quiet",
        "wait_quiet_s",
        type=Number(min=0.0, max=86_400.0),
        metavar="SECONDS",
        help="Wait for so long at most until other work leaves the measured cores alone, and "
        "measure again what was disturbed all the same.",
    )(function)


@contextmanager
def connected(url: str | None) -> Iterator[Device]:
    """The device behind a URL, or this machine."""
    from tipsc.device.measuring import Remote, ThisMachine

    if url is None:
        yield ThisMachine()
        return
    from tipsc.device.client import connect

    with connect(url) as connection:
        yield Remote(connection)
