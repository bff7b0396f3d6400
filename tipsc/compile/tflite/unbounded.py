"""What of a .tflite cannot be in int8: the additions of a mask, which is minus infinity somewhere.

Attention adds such a mask before its softmax. In eight bits either it is no mask, or what it is
added to is all one number. Imported in a worker process only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

#: what nothing computes, so that it stands for infinity: masks of -1e4, -1e9, the lowest number
_LARGE = 1e4
_NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
#: what gives on what it is given, however large
_HANDS_ON = frozenset((
    "ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2", "RESHAPE", "TRANSPOSE",
    "EXPAND_DIMS", "BROADCAST_TO", "SLICE", "STRIDED_SLICE", "CONCATENATION",
))  # fmt: skip


def unbounded(model: bytes) -> list[str]:
    """Names of what operations give that compute with infinities, up to the softmax that ends them.

    Args:
        model: a .tflite of one graph, in floating point.
    """
    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    (graph,) = parsed.subgraphs
    large = {i for i, tensor in enumerate(graph.tensors) if _is_large(parsed, tensor, model)}
    found = []
    for operator in graph.operators:
        if large.isdisjoint(map(int, operator.inputs)):
            continue
        code = parsed.operatorCodes[operator.opcodeIndex]
        kind = _NAMES[max(int(code.builtinCode), int(code.deprecatedBuiltinCode))]
        if kind in _HANDS_ON:
            large.update(map(int, operator.outputs))
        if kind in _HANDS_ON or kind == "SOFTMAX":
            found += [_name(graph.tensors[index]) for index in operator.outputs]
    return found


def _is_large(parsed: Any, tensor: Any, model: bytes) -> bool:
    if tensor.type != schema.TensorType.FLOAT32:
        return False
    buffer = parsed.buffers[tensor.buffer]
    if buffer.offset > 1:
        content = model[buffer.offset : buffer.offset + buffer.size]
    else:
        content = b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
    return bool((np.abs(np.frombuffer(content, np.float32)) >= _LARGE).any())


def _name(tensor: Any) -> str:
    return tensor.name.decode() if isinstance(tensor.name, bytes) else str(tensor.name)
