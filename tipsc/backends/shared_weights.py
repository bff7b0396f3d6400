"""The weights of a finalised engine, mapped once for all its sessions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tipsc.backends.finalise import BLOB, CONSTANTS
from tipsc.backends.ort import ort

#: TensorProto.DataType to the numpy type that ONNX Runtime takes for it
_DTYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64,
    10: np.float16, 11: np.float64,
}  # fmt: skip


class SharedWeights:
    """The weights of all paths of a finalised engine: one read-only map of one file.

    Args:
        folder: what :func:`tipsc.backends.finalise.finalise` wrote, found sound.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / BLOB
        empty = file.stat().st_size == 0  # which cannot be mapped
        self._bytes: np.ndarray = (
            np.zeros(0, np.uint8) if empty else np.memmap(file, dtype=np.uint8, mode="r")
        )
        self._constants = json.loads((folder / CONSTANTS).read_bytes())
        self._values: dict[tuple[int, int, tuple[int, ...]], ort.OrtValue] = {}

    def feed(self, options: ort.SessionOptions, path: str) -> list[ort.OrtValue]:
        """Give the session of a path its constants as views of the map.

        ONNX Runtime maps what is not given here from the file by itself: that works as well, at
        an address of its own for each session, which makes a switch of paths about 1 % dearer.

        Returns:
            What has to outlive the session.
        """
        values = []
        for name, element_type, dimensions, offset, length in self._constants[path]:
            if element_type not in _DTYPES:
                continue
            key = (offset, element_type, tuple(dimensions))
            if key not in self._values:
                raw = self._bytes[offset : offset + length]
                array = raw.view(_DTYPES[element_type]).reshape(dimensions)
                self._values[key] = ort.OrtValue.ortvalue_from_numpy(array)
            options.add_initializer(name, self._values[key])
            values.append(self._values[key])
        return values
