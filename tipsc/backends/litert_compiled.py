"""A .tflite through LiteRT's compiled models, which share packed weights between signatures."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, Options
from ai_edge_litert.tensor_buffer import TensorBuffer

from tipsc.backends.litert_log import without_chatter

#: of the inputs, and of the outputs
_Buffers: TypeAlias = tuple[list[TensorBuffer], list[TensorBuffer]]


class CompiledProgram:
    """See :class:`tipsc.backends.litert.TfliteProgram`.

    Args:
        model: the .tflite, mapped by LiteRT.
        threads: of each call.
        weight_cache: where packed weights are, or go. None: each signature packs its own.
    """

    def __init__(self, model: Path, threads: int, weight_cache: str | None) -> None:
        self._model: CompiledModel | None = None
        #: by the shapes of the inputs
        self._buffers: dict[tuple[tuple[int, ...], ...], _Buffers] = {}
        options = CpuOptions(num_threads=threads, xnnpack_weight_cache_path=weight_cache or "")
        with without_chatter():
            self._model = CompiledModel.from_file(str(model), options=Options(cpu_options=options))

    def __del__(self) -> None:
        with without_chatter():
            self._buffers.clear()
            self._model = None

    def signatures(self) -> Collection[str]:
        return self._loaded().get_signature_list()

    def runner(self, signature: str) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
        model = self._loaded()
        index = model.get_signature_index(signature)
        details = model.get_output_tensor_details(signature)
        names = model.get_signature_by_index(index)["outputs"]
        given = [(tuple(details[n]["shape"]), np.dtype(details[n]["dtype"])) for n in names]
        taken = model.get_input_tensor_details(signature)
        key = tuple(tuple(map(int, tensor["shape"])) for tensor in taken.values())
        if key not in self._buffers:
            self._buffers[key] = self._created(signature)

        def run(feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
            # All of it is the program's, so that it goes when the program goes.
            assert self._model is not None
            inputs, outputs = self._buffers[key]
            for buffer, x in zip(inputs, feeds, strict=True):
                buffer.write(x)
            self._model.run_by_index(index, inputs, outputs)
            return [
                np.asarray(buffer.read(math.prod(shape), dtype)).reshape(shape)
                for buffer, (shape, dtype) in zip(outputs, given, strict=True)
            ]

        return run

    def _created(self, signature: str) -> _Buffers:
        """Buffers for all paths that take as many examples: they run one after the other."""
        model = self._loaded()
        index = model.get_signature_index(signature)
        details = model.get_input_tensor_details(signature)
        taken = details[model.get_signature_by_index(index)["inputs"][0]]
        buffers = model.create_input_buffers(index), model.create_output_buffers(index)
        with without_chatter():  # a process's first write opens the accelerators once more
            buffers[0][0].write(np.zeros(tuple(taken["shape"]), np.dtype(taken["dtype"])))
        return buffers

    def _loaded(self) -> CompiledModel:
        assert self._model is not None
        return self._model
