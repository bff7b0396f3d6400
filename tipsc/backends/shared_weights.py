"""The weights of a finalised engine, mapped once for all its sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from tipsc.engine.external import external_initializers

#: TensorProto.DataType to the numpy type that ONNX Runtime takes for it
_DTYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64,
    10: np.float16, 11: np.float64,
}  # fmt: skip


class SharedWeights:
    """The weights of all paths of an engine: one read-only map of one file."""

    def __init__(self, file: Path) -> None:
        empty = file.stat().st_size == 0  # which cannot be mapped
        self._bytes: np.ndarray = (
            np.zeros(0, np.uint8) if empty else np.memmap(file, dtype=np.uint8, mode="r")
        )
        self._values: dict[tuple[int, int, tuple[int, ...]], ort.OrtValue] = {}

    def feed(self, options: ort.SessionOptions, graph: bytes) -> list[ort.OrtValue]:
        """Give a session the external constants of its graph as views of the map.

        ONNX Runtime maps what is not given here from the file by itself: that works as well, at
        an address of its own for each session, which makes a switch of paths about 1 % dearer.

        Returns:
            What has to outlive the session.
        """
        values = []
        for constant in external_initializers(graph):
            dtype, data = _DTYPES.get(constant.element_type), constant.data
            if dtype is None:
                continue
            key = (data.offset, constant.element_type, constant.shape)
            if key not in self._values:
                raw = self._bytes[data.offset : data.offset + data.length]
                array = raw.view(dtype).reshape(constant.shape)
                self._values[key] = ort.OrtValue.ortvalue_from_numpy(array)
            options.add_initializer(constant.name, self._values[key])
            values.append(self._values[key])
        return values
