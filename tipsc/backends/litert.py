"""LiteRT (TFLite) on the CPU: one .tflite, of which each path is a signature.

Its kernels (XNNPACK) pack weights into a layout of their own. Left alone, every signature packs a
copy; here packing is done once for each engine, machine and version of LiteRT into a file that is
mapped (the *weight cache*) and kept as a cache with the .tflite itself. The folder of the cache is
named by the engine's content hash among others: the weight cache does not notice by itself that it
was made for another model.

Weights that an engine stores with their last axis first get the usual order in that same cache,
which costs disk instead of memory.

Three runtimes are taken, the first that is there: ``ai_edge_litert`` with its compiled models,
or else its ``Interpreter`` (on a Raspberry Pi 4, too); or ``tflite_runtime`` on old devices. The
last two have no weight cache that can be chosen.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from tipsc.backends.apart import builder
from tipsc.backends.cache import kept
from tipsc.backends.isa import cpu_features, has_atomics, instruction_set
from tipsc.engine.read import EngineFile
from tipsc.engine.tflite_check import check_tflite
from tipsc.errors import EngineDamagedError, EngineDeviceError, MissingExtraError

#: of the cache's folder; a new number makes old caches unused
FORMAT = 2
MODEL, PACKED = "model.tflite", "packed.xnnpack"
#: a weight cache that has no file
IN_MEMORY = ":memory"

_PACKAGES = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}
_INSTALLED = next((name for name in _PACKAGES if importlib.util.find_spec(name)), None)
if _INSTALLED is None:
    raise MissingExtraError.of("ai-edge-litert", "litert", "the backend litert")
#: Early versions have no compiled models. Version 2.3 opens the library for WebGPU with each, and
#: in the wheel for arm64 that one ends the process on a CPU without the atomics of ARMv8.1.
_COMPILES = (
    _INSTALLED == "ai_edge_litert"
    and bool(importlib.util.find_spec("ai_edge_litert.compiled_model"))
    and has_atomics(platform.machine(), cpu_features())
)
#: tflite-runtime has no schema
_PARSES = _INSTALLED == "ai_edge_litert" and bool(
    importlib.util.find_spec("ai_edge_litert.schema_py_generated")
)
_VERSION = importlib.metadata.version(_PACKAGES[_INSTALLED])


SignatureRunner: TypeAlias = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


class TfliteProgram(Protocol):
    """A loaded .tflite. Not safe to call from several threads at once."""

    def signatures(self) -> Collection[str]:
        """The signatures' names."""

    def runner(self, signature: str) -> SignatureRunner:
        """Computes one signature; inputs as the .tflite takes them, in its order."""


class SignatureExecutor:
    """One path as a signature of a program that all paths share.

    Args:
        axes: of each input, in the order in which the program takes them.

    Calls of all paths of an engine follow one after the other: a program computes one at a time.
    """

    def __init__(
        self,
        program: TfliteProgram,
        path_id: str,
        axes: Sequence[Sequence[int]],
        lock: threading.Lock,
        where: str,
    ) -> None:
        self._axes = tuple(map(tuple, axes))
        self._lock, self._named = lock, _Named(f"{where}, path {path_id}")
        with self._named:
            self._run: SignatureRunner | None = program.runner(path_id)

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        given = [in_order(x, axes) for x, axes in zip(feeds, self._axes, strict=True)]
        with self._lock, self._named:
            assert self._run is not None
            return self._run(given)

    def close(self) -> None:
        with self._lock:
            self._run = None


def in_order(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """An input as the .tflite takes it: int64 as int32.

    Args:
        axes: see :attr:`tipsc.signature.TensorSpec.channels_last`.
    """
    if x.dtype == np.int64:
        x = x.astype(np.int32)
    return np.ascontiguousarray(np.transpose(x, axes))


def check() -> Mapping[str, str]:
    """The runtime, its version and the instruction set."""
    return {
        "litert": _VERSION,
        "package": _PACKAGES[str(_INSTALLED)],
        "instruction set": instruction_set(),
    }


def open(
    engine: EngineFile,
    *,
    path_ids: Collection[str] | None = None,
    threads: int = 1,
    cache_dir: Path | None = None,
) -> Mapping[str, SignatureExecutor]:
    """An executor for each of `path_ids` (None: all).

    Args:
        engine: what :func:`tipsc.engine.read_engine` gave.
        path_ids: ids of the manifest.
        threads: of each call.
        cache_dir: the folder of the .tflite and its packed weights. None: beside the engine
            file, or else in the user's cache.

    Raises:
        EngineDamagedError: its .tflite is none that tipsc can have written, or is not the
            manifest's.
        EngineDeviceError: LiteRT refuses the model, or `cache_dir` is for another device.
        UsageError: `cache_dir` is not usable.
    """
    key = {
        "engine": engine.content_hash,
        "litert": f"{_PACKAGES[str(_INSTALLED)]} {_VERSION}",
        "instruction set": instruction_set(),
        "format": str(FORMAT),
    }

    with kept(engine.file, key, builder(engine, fill, threads), cache_dir) as folder:
        return executors(engine, folder, path_ids, threads)


def fill(engine: EngineFile, folder: Path, threads: int) -> None:
    """Write the .tflite as it is opened, and its packed weights, into the empty `folder`."""
    model = b"".join(engine.weights_parts())
    # Here and not on opening: only this makes what LiteRT reads, once for each engine.
    check_tflite(memoryview(model), engine.manifest, f"{engine.file}: model")
    (folder / MODEL).write_bytes(plain(model))
    _load(folder / MODEL, threads, str(folder / PACKED))  # which packs


def open_model(model: Path, *, threads: int = 1, weight_cache: str | None = None) -> TfliteProgram:
    """A .tflite by itself, to compare and to measure.

    Args:
        model: the file.
        threads: of each call.
        weight_cache: a file for packed weights, or :data:`IN_MEMORY`. None: each signature packs
            its own.

    Raises:
        EngineDeviceError: LiteRT refuses it.
    """
    return _load(model, threads, weight_cache)


def plain(model: bytes | memoryview) -> bytes | memoryview:
    """An engine's .tflite in the form that is opened: larger, and with less to do at each start."""
    if not _PARSES:
        return model
    from tipsc.backends.litert_dense import densified

    return densified(model)


def executors(
    engine: EngineFile, folder: Path, path_ids: Collection[str] | None, threads: int
) -> dict[str, SignatureExecutor]:
    """An executor for each of `path_ids` (None: all) over what :func:`fill` wrote."""
    program = _load(folder / MODEL, threads, str(folder / PACKED))
    known, lock, opened = program.signatures(), threading.Lock(), {}
    axes = [spec.channels_last for spec in engine.manifest.signature.inputs]
    for path in engine.manifest.paths:
        if path.id not in known:
            raise EngineDamagedError(
                f"the .tflite has no signature {path.id}",
                where=str(engine.file),
                fix="copy or build the engine again",
            )
        if path_ids is None or path.id in path_ids:
            opened[path.id] = SignatureExecutor(program, path.id, axes, lock, str(engine.file))
    return opened


class _Named:
    """What LiteRT raises inside becomes an error of ours; a context that costs a call little."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ImportError):
            raise MissingExtraError(
                f"the package of LiteRT cannot be loaded: {error}",
                fix="install it again, or what it names",
            ) from error
        if isinstance(error, RuntimeError | ValueError):
            said = " ".join(str(error).split())
            raise EngineDeviceError(
                f"LiteRT refuses the model: {said}", where=self._where
            ) from error


def _load(model: Path, threads: int, weight_cache: str | None) -> TfliteProgram:
    with _Named(str(model)):
        if _COMPILES:
            from tipsc.backends.litert_compiled import CompiledProgram

            return CompiledProgram(model, threads, weight_cache)
        from tipsc.backends.litert_interpreter import InterpreterProgram

        return InterpreterProgram(model, threads)
