"""Backends: what compiles and runs the path graphs of an engine on a device.

A backend is its modules and one line in :data:`tipsc.backends.table.BACKENDS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from tipsc.backends.finishing import Finisher
from tipsc.backends.table import BACKENDS, Backend
from tipsc.engine.read import EngineFile
from tipsc.errors import EngineDamagedError, EngineDeviceError, near

__all__ = [
    "BACKENDS",
    "Backend",
    "Executor",
    "Runtime",
    "backend",
    "check_caches",
    "finisher",
    "open_paths",
    "runtime_of",
]


class Executor(Protocol):
    """One path, ready to run. Safe to call from several threads at once."""

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs in the manifest's order, for inputs in the manifest's order."""

    def close(self) -> None:
        """Give its memory back; it does not run again."""


class Runtime(Protocol):
    """What the module of a backend offers that runs its engines."""

    def check(self) -> Mapping[str, str]:
        """What is there and in which version, to print in ``tipsc doctor``."""

    def open(
        self,
        engine: EngineFile,
        *,
        path_ids: Collection[str] | None = None,
        threads: int = 1,
        cache_dir: Path | None = None,
    ) -> Mapping[str, Executor]:
        """An executor for each of `path_ids` (None: all paths), by path id."""


def backend(name: str) -> Backend:
    """All that tipsc knows of the backend with this name.

    Raises:
        EngineDeviceError: this tipsc has no such backend.
    """
    if name not in BACKENDS:
        raise EngineDeviceError(f"no backend is called {name!r}", fix=near(name, BACKENDS))
    return BACKENDS[name]


def runtime_of(name: str) -> Runtime:
    """The module that runs engines of the backend with this name.

    Raises:
        EngineDeviceError: this tipsc has no such backend.
        MissingExtraError: its runtime is not installed.
    """
    return cast(Runtime, importlib.import_module(backend(name).runs))


def finisher(name: str) -> Finisher:
    """The module of what is left to do on the device, for a backend that has one."""
    module = backend(name).finishes
    assert module is not None
    return cast(Finisher, importlib.import_module(module))


def open_paths(
    engine: EngineFile,
    *,
    path_ids: Collection[str] | None = None,
    threads: int = 1,
    cache_dir: Path | None = None,
) -> Mapping[str, Executor]:
    """An executor for each of `path_ids` (None: all paths) of an engine, by path id.

    Raises:
        EngineDamagedError: the engine holds something else than its backend runs.
        EngineError, MissingExtraError: as :func:`runtime_of` and its ``open``.
    """
    found = backend(engine.manifest.backend)
    if engine.form != found.form:
        raise EngineDamagedError(
            f"an engine for the backend {found.name} holds something else than it runs",
            where=str(engine.file),
            expected=f"form {found.form}",
            got=f"form {engine.form}",
        )
    return runtime_of(found.name).open(
        engine, path_ids=path_ids, threads=threads, cache_dir=cache_dir
    )


def check_caches(engine: EngineFile, inputs: Sequence[np.ndarray], *, threads: int = 1) -> None:
    """Compares what each path computes with and without what its backend keeps between runs.

    Args:
        inputs: examples (N, *shape) of each input.

    Raises:
        VerificationError: a path gives other outputs with a cache than without.
    """
    module = backend(engine.manifest.backend).keeps_weights
    if module is not None:
        importlib.import_module(module).check_caches(engine, inputs, threads)
