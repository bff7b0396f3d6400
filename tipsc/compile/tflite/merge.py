"""Many .tflite files in one: each path a signature, weights stored once.

Constants lie behind the flatbuffer (``Buffer.offset`` and ``size``), each content once; weights
that begin another path's weights are read from within those. XNNPACK finds packed weights by the
addresses of an operation's weights and bias, and takes no account of sizes and scales: two
operations that share both would silently compute with the weights of the first. So each
operation has a bias of its own, and weights without a bias are shared only if everything is
equal. Both hold for each file that is written here.
"""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tipsc.compile.tflite.last_axis import turn, worth_turning
from tipsc.engine.blob import Blob
from tipsc.engine.tflite import PLACEHOLDER, file_of
from tipsc.errors import LoweringError
from tipsc.lower import PathBytes

INPUT, OUTPUT = "input", "output"
#: bytes; smaller constants are shapes, axes and pads, which tools expect inside the flatbuffer
_MIN_EXTERNAL = 64


@dataclass(frozen=True)
class Merged:
    """One .tflite.

    Attributes:
        model: the file.
        sizes: bytes of constants of each path, by its id.
    """

    model: bytes
    sizes: Mapping[str, PathBytes]


@dataclass(frozen=True)
class _Constant:
    """A constant tensor of a path: which buffer it gets is decided when all are known.

    Attributes:
        role: "weights" and "bias" of an operation that has both; else "".
        group: not "": it shares its place only with those of the same group.
    """

    path: str
    graph: Any
    index: int
    content: bytes
    role: str = ""
    group: str = ""

    @property
    def tensor(self) -> Any:
        return self.graph.tensors[self.index]


def merge(
    files: Mapping[str, bytes],
    batches: Mapping[str, int] | None = None,
    inputs: Sequence[str] = (INPUT,),
    outputs: Sequence[str] = (OUTPUT,),
) -> Merged:
    """Puts files of one signature each into one file.

    Args:
        files: by path id, which becomes the name of the signature.
        batches: by path id, for how many examples it is; all for as many if not given.
        inputs, outputs: names in the signatures, in the order of the converted module's arguments
            and results. Some runtimes forget that order: the names of several sort into it.

    Raises:
        LoweringError: a file is not of one signature with these inputs and outputs, or refers to
            bytes that it does not have.
    """
    from ai_edge_litert import schema_py_generated as schema

    merged = schema.ModelT(version=3, description="tipsc", operatorCodes=[], subgraphs=[])
    merged.signatureDefs, merged.buffers = [], [schema.BufferT()]
    sizes = dict.fromkeys(files, 1) if batches is None else batches
    codes: dict[tuple[object, ...], int] = {}
    constants: list[_Constant] = []
    number, shapes = 0, set()
    for path, content in files.items():
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        if len(model.subgraphs) != 1 or len(model.signatureDefs or ()) != 1:
            raise LoweringError("the converter wrote more than one graph", where=f"path {path}")
        graph, signature = model.subgraphs[0], model.signatureDefs[0]
        where = f"path {path}"
        signature.inputs = _renamed(signature.inputs, graph.inputs, inputs, where)
        signature.outputs = _renamed(signature.outputs, graph.outputs, outputs, where)
        constants += _constants(path, content, model, graph, schema)
        renumber = [_code(code, codes, merged) for code in model.operatorCodes]
        for operator in graph.operators:
            operator.opcodeIndex = renumber[operator.opcodeIndex]
            operator.debugMetadataIndex = -1
        graph.name = path
        for tensor in graph.tensors:
            tensor.name = f"t{number}"  # the converter's are long, and may repeat
            number += 1
            if not _quantised(tensor):
                tensor.quantization = None
        signature.signatureKey, signature.subgraphIndex = path, len(merged.subgraphs)
        found = tuple(
            tuple(int(size) for size in graph.tensors[entry.tensorIndex].shape)
            for entry in (*signature.inputs, *signature.outputs)
        )
        shapes.add((sizes[path], found))
        merged.subgraphs.append(graph)
        merged.signatureDefs.append(signature)
    if len(shapes) != len(set(sizes.values())):
        raise LoweringError("paths differ in the shape of input or output", got=sorted(shapes))
    constants = _last_axis_first(constants, codes, merged, schema)
    blob, places = _place(constants)
    indices: dict[tuple[int, int], int] = {}
    for constant, offset in zip(constants, places, strict=True):
        key = (offset, len(constant.content))
        if offset < 0 or key not in indices:
            indices[key] = len(merged.buffers)
            merged.buffers.append(
                schema.BufferT(data=np.frombuffer(constant.content, np.uint8))
                if offset < 0
                else schema.BufferT(offset=PLACEHOLDER, size=len(constant.content))
            )
        constant.tensor.buffer = indices[key]
    offsets = {index: offset for (offset, _), index in indices.items() if offset >= 0}
    return Merged(file_of(merged, blob, offsets), _sizes(constants, places, files))


def _renamed(entries: Any, indices: Any, names: Sequence[str], where: str) -> list[Any]:
    """The entries of a signature with these names, in the order of the graph."""
    order = [int(index) for index in indices]
    found = sorted(int(entry.tensorIndex) for entry in entries)
    if found != sorted(order) or len(order) != len(names):
        raise LoweringError(
            "the converter gave a path other inputs or outputs",
            where=where,
            expected=", ".join(names),
            got=len(entries),
        )
    by_tensor = {int(entry.tensorIndex): entry for entry in entries}
    for index, name in zip(order, names, strict=True):
        by_tensor[index].name = name
    return [by_tensor[index] for index in order]


def _constants(
    path: str, content: bytes, model: Any, graph: Any, schema: Any
) -> Iterator[_Constant]:
    """The constants of a path, buffers outside the flatbuffer read too; others get buffer 0."""
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    roles: dict[int, tuple[str, bool]] = {}
    for operator in graph.operators:
        kind = names[_builtin(model.operatorCodes[operator.opcodeIndex])]
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weights, *bias = (int(i) for i in operator.inputs[1:])
            has_bias = bool(bias) and bias[0] >= 0
            roles[weights] = ("weights", has_bias)
            if has_bias and bias[0] in roles:  # of zeros the converter makes one for several
                graph.tensors.append(copy.copy(graph.tensors[bias[0]]))
                bias[0] = len(graph.tensors) - 1
                operator.inputs = np.array([operator.inputs[0], weights, *bias], np.int32)
            if has_bias:
                roles[bias[0]] = ("bias", True)
    data = memoryview(content)
    for index, tensor in enumerate(graph.tensors):
        buffer = model.buffers[tensor.buffer]
        if buffer.offset > 1:
            value = bytes(data[buffer.offset : buffer.offset + buffer.size])
            if len(value) != buffer.size:
                raise LoweringError("a buffer lies outside its file", where=f"path {path}")
        else:
            value = b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
        tensor.buffer = 0
        if not value:
            continue
        role, has_bias = roles.get(index, ("", False))
        if role == "weights" and not has_bias:
            # Nothing but itself tells its packed form apart from a longer or rescaled one.
            exact = hashlib.sha256(value + _scales(tensor) + str(tensor.shape).encode())
            yield _Constant(path, graph, index, value, group=exact.hexdigest())
        else:
            yield _Constant(path, graph, index, value, role)


def _quantised(tensor: Any) -> bool:
    return tensor.quantization is not None and tensor.quantization.scale is not None


def _scales(tensor: Any) -> bytes:
    if not _quantised(tensor):
        return b""
    return np.asarray(tensor.quantization.scale, np.float32).tobytes()


def _builtin(code: Any) -> int:
    # Two fields: the old one is a byte and holds 127 for what does not fit into it.
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def _code(code: Any, known: dict[tuple[object, ...], int], merged: Any) -> int:
    key = (_builtin(code), code.customCode, code.version)
    if key not in known:
        known[key] = len(merged.operatorCodes)
        merged.operatorCodes.append(code)
    return known[key]


def _last_axis_first(
    constants: list[_Constant], codes: dict[tuple[object, ...], int], merged: Any, schema: Any
) -> list[_Constant]:
    """The constants, weights that share more so with their last axis first."""
    # XNNPACK takes a DENSIFY for a constant in floating point only.
    weights = {
        number: np.frombuffer(constant.content, np.float32).reshape(constant.tensor.shape)
        for number, constant in enumerate(constants)
        if constant.role == "weights" and constant.tensor.type == schema.TensorType.FLOAT32
    }
    found = list(constants)
    for number, content in worth_turning(weights).items():
        constant = constants[number]
        code = schema.OperatorCodeT(
            builtinCode=schema.BuiltinOperator.DENSIFY,
            deprecatedBuiltinCode=schema.BuiltinOperator.DENSIFY,
            version=1,
        )
        turn(constant.graph, constant.index, _code(code, codes, merged), schema)
        found[number] = replace(constant, content=content)
    return found


def _place(constants: list[_Constant]) -> tuple[bytearray, list[int]]:
    """Bytes for all constants, and where each is in them; -1: it stays in the flatbuffer."""
    blob, exact = Blob(), {}
    places = [-1] * len(constants)
    for i in sorted(range(len(constants)), key=lambda i: -len(constants[i].content)):
        constant = constants[i]
        if constant.role == "bias":
            places[i] = blob.add_alone(constant.content)
        elif len(constant.content) < _MIN_EXTERNAL and not constant.group:
            continue
        elif constant.group:
            if constant.group not in exact:
                exact[constant.group] = blob.add_alone(constant.content)
            places[i] = exact[constant.group]
        else:
            places[i] = blob.add(constant.content)
    return blob.content, places


def _sizes(
    constants: list[_Constant], places: list[int], files: Mapping[str, bytes]
) -> dict[str, PathBytes]:
    used: dict[str, dict[int, int]] = {path: {} for path in files}
    for constant, offset in zip(constants, places, strict=True):
        if offset >= 0:
            mine = used[constant.path]
            mine[offset] = max(mine.get(offset, 0), len(constant.content))
    readers = Counter(offset for mine in used.values() for offset in mine)
    return {
        path: PathBytes(
            sum(length for offset, length in mine.items() if readers[offset] > 1),
            sum(length for offset, length in mine.items() if readers[offset] == 1),
        )
        for path, mine in used.items()
    }
