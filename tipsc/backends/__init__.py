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

__all__ = ["BACKENDS", "FINISHED_ON_DEVICE", "Backend", "Executor", "backend"]

#: name to the module that implements it
BACKENDS: Mapping[str, str] = {
    "onnxruntime": "tipsc.backends.onnxruntime",
    "tensorrt": "tipsc.backends.tensorrt",
}

#: backends that compile on the device only: without one, their engines stay unbuilt
FINISHED_ON_DEVICE = frozenset({"tensorrt"})


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
