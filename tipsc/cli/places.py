"""A model, data and a target as they are named on a command line, as a configuration names them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tipsc.errors import UsageError, near

_CALLABLE = re.compile(r"(?P<place>.+):(?P<name>[A-Za-z_]\w*)")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def model_place(given: str, folder: Path) -> str:
    """FILE.py:FUNCTION, package.module:FUNCTION or FILE.onnx, relative to `folder`.

    Raises:
        UsageError: it is none of these, or there is no such file.
    """
    return _place(given, folder, ".onnx", "a model")


def data_place(given: str, folder: Path) -> str:
    """FILE.py:FUNCTION, package.module:FUNCTION or FILE.npz, relative to `folder`.

    Raises:
        UsageError: it is none of these, or there is no such file.
    """
    return _place(given, folder, ".npz", "data")


def _place(given: str, folder: Path, ending: str, what: str) -> str:
    if given.endswith(ending):
        return _relative(given, folder)
    found = _CALLABLE.fullmatch(given)
    if found is not None and found["place"].endswith(".py"):
        return f"{_relative(found['place'], folder)}:{found['name']}"
    if found is None or not _MODULE.fullmatch(found["place"]):
        raise UsageError(
            f"this does not name {what}",
            where=given,
            expected=f"FILE.py:FUNCTION, package.module:FUNCTION or FILE{ending}",
        )
    return given


def _relative(file: str, folder: Path) -> str:
    """A file that is named from here, or from the project's folder."""
    if Path(file).is_file():
        return file if Path(file).is_absolute() else os.path.relpath(file, folder)
    if (folder / file).is_file():
        return file
    named = Path(file)
    parents = {named.parent, (folder / file).parent}
    others = {other.name for parent in parents for other in parent.glob(f"*{named.suffix}")}
    meant = f"; {near(named.name, others)}" if others else ""
    raise UsageError(
        "there is no such file",
        where=file,
        fix=f"name it from here, or from the project's folder{meant}",
    )
