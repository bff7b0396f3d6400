"""The callables that a configuration names: found beside it or in a package, and called."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tipsc.errors import ConfigError, DataError, near
from tipsc.fingerprint.users_code import is_users_own

#: how the modules are called that are made of the user's files
USER_MODULE = "_tipsc_user_"
_NEIGHBOUR_OF = "_tipsc_neighbour_of"  # an attribute of modules that these import: the folder


def call(
    reference: str, arguments: dict[str, Any], folder: Path, key: str, kinds: tuple[type, ...]
) -> Any:
    """What the user's callable returns.

    Args:
        reference: ``file.py:name`` in `folder`, or ``package.module:name``.
        arguments: keyword arguments.
        key: of the configuration that names it, for errors.
        kinds: one of these types is expected.

    Raises:
        ConfigError: there is no such callable, it does not take the arguments, or returns
            something else. What it raises itself comes out as it is, but data errors are told
            where in its file they arose.
    """
    function = _find(reference, folder, key)
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{reference} cannot be called with these arguments: {error}",
            where=f"{key}.arguments",
            expected=f"those of {reference.rpartition(':')[2]}{inspect.signature(function)}",
            got=", ".join(arguments) or "none",
        ) from error
    except ValueError:  # a builtin that does not tell what it takes
        pass
    try:
        with _neighbours(_home(reference, folder)):
            result = function(**arguments)
    except ImportError as error:
        raise ConfigError(
            f"{reference} cannot import what it needs: {error}",
            where=f"{key}.callable",
            fix="install it, or correct the import",
        ) from error
    except DataError as error:
        if place := place_of(error):
            error.where = f"{place} ({error.where})" if error.where else place
        raise
    if not isinstance(result, kinds):
        raise ConfigError(
            f"{reference} returns something else",
            where=f"{key}.callable",
            expected=" or ".join(f"a {_public_name(kind)}" for kind in kinds),
            got=_told(result),
        )
    return result


def place_of(error: BaseException) -> str | None:
    """File and line of the user's own code, if the error arose in it or below it."""
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if is_users_own(Path(frame.f_code.co_filename)):
            place = f"{frame.f_code.co_filename}, line {line}"
    return place


def _public_name(kind: type) -> str:
    """``torch.nn.Module`` of what is defined in ``torch.nn.modules.module``."""
    parts = kind.__module__.split(".")
    for end in range(1, len(parts)):
        package = ".".join(parts[:end])
        if getattr(sys.modules.get(package), kind.__name__, None) is kind:
            return f"{package}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__name__}"


def _told(result: object) -> str:
    if result is None:
        return "nothing: is there no return?"
    if isinstance(result, type):
        return f"the class {result.__name__}: call it"
    return type(result).__name__


def _find(reference: str, folder: Path, key: str) -> Callable[..., Any]:
    where = f"{key}.callable"
    place, separator, name = reference.rpartition(":")
    if not separator or not place or not name:
        raise ConfigError(
            f"{reference!r} names no callable",
            where=where,
            expected="file.py:name or package.module:name",
        )
    module = _import_file(folder / place, where) if place.endswith(".py") else _import(place, where)
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(
            f"{place} has no callable {name!r}", where=where, fix=near(name, _own(module))
        )
    return function


def _own(module: ModuleType) -> list[str]:
    """The callables that a module defines itself, or all of them if it defines none."""
    callables = {n: v for n, v in vars(module).items() if callable(v) and not n.startswith("_")}
    own = [n for n, v in callables.items() if getattr(v, "__module__", "") == module.__name__]
    return own or list(callables)


def _import(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"cannot import {name}: {error}",
            where=where,
            fix="install it; a file beside the configuration is named with its .py",
        ) from error


def _import_file(file: Path, where: str) -> ModuleType:
    """Runs a file beside the configuration; its neighbours can be imported by their names."""
    if not file.is_file():
        beside = sorted(path.name for path in file.parent.glob("*.py"))
        raise ConfigError(
            "there is no such file",
            where=where,
            got=str(file),
            fix=near(file.name, beside) if beside else "write it there",
        )
    name = f"{USER_MODULE}{file.stem}_{abs(hash(str(file))):x}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in it look themselves up
    try:
        with _neighbours(file.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        problem, place = str(error), place_of(error)
        if isinstance(error, SyntaxError):  # arose before a line of the file ran
            problem, place = error.msg, f"{error.filename}, line {error.lineno}"
        raise ConfigError(
            f"{file.name} fails when it is imported: {type(error).__name__}: {problem}",
            where=f"{where} ({place})" if place else where,
        ) from error
    return module


def _home(reference: str, folder: Path) -> Path:
    """The folder of the file that is named; that of the configuration for a module."""
    place = reference.rpartition(":")[0]
    return (folder / place).parent if place.endswith(".py") else folder


def _facts(module: object) -> dict[str, Any]:
    """What is in a module; not all that stands among the modules is one."""
    return getattr(module, "__dict__", {})


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """The modules in the folder can be imported by their names, and those of no other project.

    Every project has a data.py: one that was imported for another project must not stand in.
    """
    for name, module in list(sys.modules.items()):
        if _facts(module).get(_NEIGHBOUR_OF, folder) != folder:
            del sys.modules[name]
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            module = sys.modules[name]
            if Path(_facts(module).get("__file__") or "").parent == folder:
                setattr(module, _NEIGHBOUR_OF, folder)
