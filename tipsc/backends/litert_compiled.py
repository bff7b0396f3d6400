"""A .tflite through LiteRT's compiled models, which share packed weights between signatures."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, Options
from ai_edge_litert.tensor_buffer import TensorBuffer


class CompiledProgram:
    """See :class:`tipsc.backends.litert.Program`.

    Args:
        model: the .tflite, mapped by LiteRT.
        threads: of each call.
        weight_cache: where packed weights are, or go. None: each signature packs its own.
    """

    def __init__(self, model: Path, threads: int, weight_cache: str | None) -> None:
        options = CpuOptions(num_threads=threads, xnnpack_weight_cache_path=weight_cache or "")
        self._model = CompiledModel.from_file(str(model), options=Options(cpu_options=options))
        self._buffers: tuple[list[TensorBuffer], list[TensorBuffer]] | None = None

    def signatures(self) -> Collection[str]:
        return self._model.get_signature_list()

    def runner(self, signature: str) -> Callable[[np.ndarray], np.ndarray]:
        model = self._model
        index = model.get_signature_index(signature)
        if self._buffers is None:  # all paths take and give the same, one after the other
            inputs, outputs = model.create_input_buffers(index), model.create_output_buffers(index)
            self._buffers = inputs, outputs
        inputs, outputs = self._buffers
        (output,) = model.get_output_tensor_details(signature).values()
        shape, dtype = tuple(output["shape"]), np.dtype(output["dtype"])
        size = int(np.prod(shape))

        def run(x: np.ndarray) -> np.ndarray:
            inputs[0].write(x)
            model.run_by_index(index, inputs, outputs)
            return np.asarray(outputs[0].read(size, dtype)).reshape(shape)

        return run
