"""What is installed: the version of each package, and tipsc's own code by the rooms that decide."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

#: packages whose version can change what is trained
TRAINING = ("torch", "numpy", "scipy")
#: rooms of tipsc whose code decides what comes out of a training
TRAINS = (
    "paths.py", "factors.py", "quality.py", "signature.py", "tree.py", "tasks", "elastic",
    "convert", "dtmc", "from_onnx", "train", "pipeline/train.py", "pipeline/narrow.py",
    "project/lessons.py", "project/loading.py",
)  # fmt: skip
#: and what comes out of the stages after it
BUILDS = (
    "backends", "compile", "engine", "lower", "measure", "pipeline", "profile", "search",
)  # fmt: skip


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package; "none" where it is not installed."""
    return {name: _version(name) for name in packages}


@cache
def code_of(rooms: tuple[str, ...]) -> str:
    """A digest of tipsc's own code in these rooms: between releases the version stays the same."""
    folder = Path(__file__).parents[1]
    places = [folder / room for room in rooms]
    files = [f for p in places for f in ([p] if p.suffix else sorted(p.rglob("*.py")))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def package_and_version(module: str) -> bytes:
    """Name and version of the package that a module comes with."""
    top = module.partition(".")[0]
    return f"{module} {_version(top)}".encode()


@cache
def _version(name: str) -> str:
    if name == "tipsc":
        return code_of(TRAINS)
    if name in sys.stdlib_module_names or name == "builtins":
        return "{}.{}".format(*sys.version_info)
    for package in _packages(name):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "none"


def _packages(module: str) -> Iterator[str]:
    """What a module may come with: mostly a package of its name; all are read for others."""
    yield module
    yield from _packages_of_modules().get(module, ())


@cache
def _packages_of_modules() -> Mapping[str, Sequence[str]]:
    return importlib.metadata.packages_distributions()
