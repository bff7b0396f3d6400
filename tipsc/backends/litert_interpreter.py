"""A .tflite through the ``Interpreter`` of ai-edge-litert, or of tflite-runtime on old devices."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class InterpreterProgram:
    """See :class:`tipsc.backends.litert.TfliteProgram`.

    Args:
        model: the .tflite, mapped.
        threads: of each call.
    """

    def __init__(self, model: Path, threads: int) -> None:
        package = "ai_edge_litert" if importlib.util.find_spec("ai_edge_litert") else None
        module = importlib.import_module(f"{package or 'tflite_runtime'}.interpreter")
        self._interpreter: Any = module.Interpreter(str(model), num_threads=threads)
        # Without this tflite-runtime applies no XNNPACK to signatures: nine times slower.
        self._interpreter.allocate_tensors()

    def signatures(self) -> Collection[str]:
        found: dict[str, object] = self._interpreter.get_signature_list()
        return found

    def runner(self, signature: str) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
        run = self._interpreter.get_signature_runner(signature)
        # The interpreter forgets their order, so their names have it.
        taken, given = sorted(run.get_input_details()), sorted(run.get_output_details())

        def call(feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
            outputs = run(**dict(zip(taken, feeds, strict=True)))
            return [outputs[name] for name in given]

        return call
