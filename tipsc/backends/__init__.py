"""Backends: what compiles and runs the path graphs of an engine on a device.

A backend is one module and one line in :data:`BACKENDS`. The module has ``check`` and ``open``,
as :class:`Backend` states them, and is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from tipsc.engine.read import EngineFile
from tipsc.errors import EngineDeviceError, near

__all__ = [
    "BACKENDS",
    "CACHE_CHECKS",
    "FINISHED_ON_DEVICE",
    "Backend",
    "Executor",
    "backend",
    "check_caches",
]

#: name to the module that implements it
BACKENDS: Mapping[str, str] = {
    "onnxruntime": "tipsc.backends.onnxruntime",
    "litert": "tipsc.backends.litert",
    "tensorrt": "tipsc.backends.tensorrt",
}

#: backends that compile on the device only: without one, their engines stay unbuilt
FINISHED_ON_DEVICE = frozenset({"tensorrt"})

#: name of a backend that keeps weights in a form of its own to the module that checks them
CACHE_CHECKS: Mapping[str, str] = {"litert": "tipsc.backends.litert_check"}


class Executor(Protocol):
    """One path, ready to run. Safe to call from several threads at once."""

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs in the manifest's order, for inputs in the manifest's order."""

    def close(self) -> None:
        """Give its memory back; it does not run again."""


class Backend(Protocol):
    """What the module of a backend offers."""

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
    """The backend with this name.

    Raises:
        EngineDeviceError: this tipsc has no such backend.
        MissingExtraError: its runtime is not installed.
    """
    if name not in BACKENDS:
        raise EngineDeviceError(f"no backend is called {name!r}", fix=near(name, BACKENDS))
    return cast(Backend, importlib.import_module(BACKENDS[name]))


def check_caches(engine: EngineFile, inputs: np.ndarray, *, threads: int = 1) -> None:
    """Compares what each path computes with and without what its backend keeps between runs.

    Args:
        inputs: examples (N, *shape) for an engine with one input of batch 1.

    Raises:
        VerificationError: a path gives other outputs with a cache than without.
    """
    name = engine.manifest.backend
    if name in CACHE_CHECKS:
        importlib.import_module(CACHE_CHECKS[name]).check_caches(engine, inputs, threads)
