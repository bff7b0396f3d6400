"""ONNX's own reference evaluator as a backend: slow, in numpy, and no product of ours.

It is not in the table. A test adds it, as anybody adds a backend: this file, and the line
``BACKENDS[REFERENCE.name] = REFERENCE``. It is also a second opinion on what a graph computes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from tipsc.backends.table import Backend
from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.engine.read import EngineFile
from tipsc.errors import MissingExtraError

REFERENCE = Backend(
    "reference",
    runs=__name__,
    compiles="tipsc.compile.portable",
    form="onnx",
    libraries=("torch", "onnx", "onnx-ir", "onnxscript"),
    package="onnx",
    base="host",
)

try:
    import onnx
    from onnx.reference import ReferenceEvaluator
except ImportError as error:
    raise MissingExtraError.of("onnx", "train", "the backend reference") from error


class ReferenceExecutor:
    """One path, computed operation by operation."""

    def __init__(self, model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]):
        self._evaluator = ReferenceEvaluator(model)
        self._inputs, self._outputs = tuple(inputs), list(outputs)

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = self._evaluator.run(self._outputs, dict(zip(self._inputs, feeds, strict=True)))
        return [np.asarray(output) for output in found]

    def close(self) -> None:
        del self._evaluator


def check() -> Mapping[str, str]:
    """The version of onnx."""
    return {"reference": onnx.__version__}


def open(
    engine: EngineFile,
    *,
    path_ids: Collection[str] | None = None,
    threads: int = 1,
    cache_dir: Path | None = None,
) -> Mapping[str, ReferenceExecutor]:
    """An executor for each of `path_ids` (None: all).

    Args:
        threads, cache_dir: of no use here.
    """
    inputs = [tensor.name for tensor in engine.manifest.signature.inputs]
    outputs = [tensor.name for tensor in engine.manifest.signature.outputs]
    opened = {}
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
        (Path(folder) / WEIGHTS_LOCATION).write_bytes(b"".join(engine.weights_parts()))
        for path in engine.manifest.paths:
            if path_ids is None or path.id in path_ids:
                model = onnx.load_from_string(engine.graph(path.id))
                onnx.load_external_data_for_model(model, folder)
                opened[path.id] = ReferenceExecutor(model, inputs, outputs)
    return opened
