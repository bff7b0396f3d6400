"""Writing a .tflite whose constants lie behind its flatbuffer (``Buffer.offset`` and ``size``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np

from tipsc.engine.blob import ALIGNMENT

#: an offset of as many bytes as any: flatbuffers leave out a zero
PLACEHOLDER = 1 << 40


def flatbuffer(model: Any) -> bytes:
    """The flatbuffer of a ``ModelT``, without what lies behind it."""
    builder = _SharingBuilder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def file_of(model: Any, constants: bytes | bytearray, offsets: Mapping[int, int]) -> bytes:
    """The file: flatbuffer, then the constants.

    Args:
        model: a ``ModelT``; buffers in `offsets` have :data:`PLACEHOLDER` for an offset.
        offsets: in `constants`, by index of the buffer. The file's count from its start.
    """
    length = len(flatbuffer(model))
    start = -(-length // ALIGNMENT) * ALIGNMENT
    for index, offset in offsets.items():
        model.buffers[index].offset = start + offset
    head = flatbuffer(model)
    assert len(head) == length  # offsets are 8 bytes wide, whatever they are
    return b"".join([head, bytes(start - length), constants, bytes(-len(constants) % ALIGNMENT)])


class _SharingBuilder(flatbuffers.Builder):
    """Stores each vector once: shapes, and the scales and zero points of int8, repeat a lot."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._vectors:
            self._vectors[key] = super().CreateNumpyVector(x)
        return self._vectors[key]
