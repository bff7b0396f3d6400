"""A .tflite with weights in the usual order, from one that stores their last axis first.

An engine's .tflite may need this once for each file, not for each process: LiteRT would keep a
dense copy of such weights for every signature in anonymous memory.
"""

from __future__ import annotations

import math

import numpy as np

from tipsc.engine.blob import ALIGNMENT
from tipsc.engine.tflite import PLACEHOLDER, file_of


def densified(model: bytes | memoryview) -> bytes:
    """The same model without DENSIFY: what it gives is a constant.

    Args:
        model: that :func:`tipsc.compile.tflite.merge.merge` wrote, or any without DENSIFY.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = bytes(model)
    parsed = schema.ModelT.InitFromPackedBuf(content, 0)
    code = schema.BuiltinOperator.DENSIFY
    densify = {i for i, c in enumerate(parsed.operatorCodes) if c.builtinCode == code}
    if not densify:
        return content
    start = min(buffer.offset for buffer in parsed.buffers if buffer.offset > 1)
    constants = bytearray(content[start:])
    offsets = {i: b.offset - start for i, b in enumerate(parsed.buffers) if b.offset > 1}
    known: dict[tuple[int, tuple[int, ...]], int] = {}
    for graph in parsed.subgraphs:
        kept = []
        for operator in graph.operators:
            if operator.opcodeIndex not in densify:
                kept.append(operator)
                continue
            (stored,) = (graph.tensors[i] for i in operator.inputs)
            (dense,) = (graph.tensors[i] for i in operator.outputs)
            shape = tuple(int(size) for size in stored.shape)
            key = (stored.buffer, shape)
            if key not in known:
                offset = start + offsets[stored.buffer]
                flat = np.frombuffer(content, np.float32, math.prod(shape), offset)
                value = np.moveaxis(flat.reshape(shape[-1:] + shape[:-1]), 0, -1).tobytes()
                constants += bytes(-len(constants) % ALIGNMENT)
                known[key] = len(parsed.buffers)
                offsets[known[key]] = len(constants)
                constants += value
                parsed.buffers.append(schema.BufferT(offset=PLACEHOLDER, size=len(value)))
            dense.buffer, stored.buffer, stored.sparsity = known[key], 0, None
        graph.operators = kept
    for index in offsets:
        parsed.buffers[index].offset = PLACEHOLDER
    return file_of(parsed, constants, offsets)
