"""ONNX Runtime on the CPU, with K paths in little more memory than one.

An ordinary session optimises its graph, reorders its weights for this machine's instruction set
and keeps both to itself; 32 paths then take 32 times the memory. Here that is done once for each
engine and machine (*finalised*, see :mod:`tipsc.backends.finalise`) and kept as a cache. Sessions
load finalised graphs as they are; the weights are one map of one file, which all paths use at the
same address and the system shares between processes; and all sessions draw their activations from
one arena.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from tipsc.backends.apart import builder
from tipsc.backends.cache import kept
from tipsc.backends.finalise import FORMAT, finalise
from tipsc.backends.isa import instruction_set
from tipsc.backends.ort import ort
from tipsc.backends.shared_weights import SharedWeights
from tipsc.engine.read import EngineFile
from tipsc.errors import EngineDeviceError


class SessionExecutor:
    """One path as a session over its finalised graph and the shared weights."""

    def __init__(
        self,
        graph: Path,
        weights: SharedWeights,
        inputs: Sequence[str],
        outputs: Sequence[str],
        threads: int,
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Packed weights would be a private copy for each session.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Threads that spin for work take a small machine's cores from the application.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._weights = weights.feed(options, graph.stem)  # must live while it runs
        self._session = ort.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = tuple(inputs)
        self._outputs = list(outputs)

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self._session.run(self._outputs, dict(zip(self._inputs, feeds, strict=True)))

    def close(self) -> None:
        del self._session, self._weights


def check() -> Mapping[str, str]:
    """Version, providers and instruction set."""
    return {
        "onnxruntime": ort.__version__,
        "providers": ", ".join(ort.get_available_providers()),
        "instruction set": instruction_set(),
    }


def open(
    engine: EngineFile,
    *,
    path_ids: Collection[str] | None = None,
    threads: int = 1,
    cache_dir: Path | None = None,
) -> Mapping[str, SessionExecutor]:
    """An executor for each of `path_ids` (None: all), finalising the engine if that is missing.

    Args:
        engine: what :func:`tipsc.engine.read_engine` gave.
        path_ids: ids of the manifest.
        threads: intra-op threads of each session.
        cache_dir: the folder of the finalised engine. None: beside the engine file, or else in
            the user's cache, in a folder for this engine, version and instruction set.

    Raises:
        EngineDeviceError: ONNX Runtime refuses a path, or `cache_dir` is for another device.
        UsageError: `cache_dir` is not usable.
    """
    key = {
        "engine": engine.content_hash,
        "onnxruntime": ort.__version__,
        "instruction set": instruction_set(),
        "format": str(FORMAT),
    }

    _no_telemetry()
    _share_arena()
    with kept(engine.file, key, builder(engine, fill, threads), cache_dir) as folder:
        return executors(engine, folder, path_ids, threads)


def fill(engine: EngineFile, folder: Path, threads: int) -> None:
    """Finalise `engine` into the empty `folder`; see :func:`tipsc.backends.finalise.finalise`."""
    finalise(engine, folder)
    _trim_heap()


def executors(
    engine: EngineFile, folder: Path, path_ids: Collection[str] | None, threads: int
) -> dict[str, SessionExecutor]:
    """An executor for each of `path_ids` (None: all) over what :func:`fill` wrote."""
    inputs = [tensor.name for tensor in engine.manifest.signature.inputs]
    outputs = [tensor.name for tensor in engine.manifest.signature.outputs]
    folder = folder.resolve()  # ONNX Runtime refuses external data behind a symbolic link
    weights = SharedWeights(folder)
    opened = {}
    for path in engine.manifest.paths:
        if path_ids is None or path.id in path_ids:
            graph = folder / f"{path.id}.onnx"
            try:
                opened[path.id] = SessionExecutor(graph, weights, inputs, outputs, threads)
            except Exception as error:  # onnxruntime has no base class of its own errors
                raise EngineDeviceError(
                    f"ONNX Runtime refuses path {path.id}: {error}", where=str(graph)
                ) from error
    return opened


def _no_telemetry() -> None:
    """For an application that imported ONNX Runtime before tipsc, which else prevents it."""
    if os.environ.get("ORT_DISABLE_TELEMETRY") != "0":
        getattr(ort, "disable_telemetry_events", lambda: None)()


@cache
def _share_arena() -> None:
    """Register one arena for all sessions of this process that ask for it, once.

    ONNX Runtime keeps such an arena for a process, not for a session; when the application
    registered one before, sessions made with that one keep it.
    """
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    try:
        ort.create_and_register_allocator(memory, None)
    except Exception:  # some versions refuse a second one: then the application's is shared
        return


def _trim_heap() -> None:
    """Give the heap that finalisation used back to the system, where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return
