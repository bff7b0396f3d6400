"""A .tflite through LiteRT's compiled models, which share packed weights between signatures."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, Options
from ai_edge_litert.tensor_buffer import TensorBuffer

from tipsc.backends.litert_log import without_chatter


class CompiledProgram:
    """See :class:`tipsc.backends.litert.TfliteProgram`.

    Args:
        model: the .tflite, mapped by LiteRT.
        threads: of each call.
        weight_cache: where packed weights are, or go. None: each signature packs its own.
    """

    def __init__(self, model: Path, threads: int, weight_cache: str | None) -> None:
        self._model: CompiledModel | None = None
        self._buffers: tuple[list[TensorBuffer], list[TensorBuffer]] | None = None
        options = CpuOptions(num_threads=threads, xnnpack_weight_cache_path=weight_cache or "")
        with without_chatter():
            self._model = CompiledModel.from_file(str(model), options=Options(cpu_options=options))

    def __del__(self) -> None:
        with without_chatter():
            self._buffers = self._model = None

    def signatures(self) -> Collection[str]:
        return self._loaded().get_signature_list()

    def runner(self, signature: str) -> Callable[[np.ndarray], np.ndarray]:
        model = self._loaded()
        index = model.get_signature_index(signature)
        (output,) = model.get_output_tensor_details(signature).values()
        shape, dtype = tuple(output["shape"]), np.dtype(output["dtype"])
        size = int(np.prod(shape))
        self._buffers = self._buffers or self._created(signature)

        def run(x: np.ndarray) -> np.ndarray:
            # All of it is the program's, so that it goes when the program goes.
            assert self._model is not None and self._buffers is not None
            inputs, outputs = self._buffers
            inputs[0].write(x)
            self._model.run_by_index(index, inputs, outputs)
            return np.asarray(outputs[0].read(size, dtype)).reshape(shape)

        return run

    def _created(self, signature: str) -> tuple[list[TensorBuffer], list[TensorBuffer]]:
        """Buffers for all paths: they take and give the same, one after the other."""
        model = self._loaded()
        index = model.get_signature_index(signature)
        (taken,) = model.get_input_tensor_details(signature).values()
        buffers = model.create_input_buffers(index), model.create_output_buffers(index)
        with without_chatter():  # a process's first write opens the accelerators once more
            buffers[0][0].write(np.zeros(tuple(taken["shape"]), np.dtype(taken["dtype"])))
        return buffers

    def _loaded(self) -> CompiledModel:
        assert self._model is not None
        return self._model
