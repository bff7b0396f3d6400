"""Arguments that several verbs take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tipsc.device.measuring import Device

Function = TypeVar("Function", bound=Callable[..., Any])

#: whether they exist is judged by the library, whose errors say more
ANY_PATH = click.Path(path_type=Path)


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


def wait_quiet_option(function: Function) -> Function:
    """--wait-quiet: measure when nothing else runs there."""
    return click.option(
        "--wait-quiet",
        "wait_quiet_s",
        type=click.FloatRange(min=0.0, max=86_400.0),
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
