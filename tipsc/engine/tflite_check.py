"""Whether a .tflite is one that tipsc may have written, before a library sees it.

LiteRT checks little: a buffer beyond the file, an operator that reads a tensor which nothing
writes, or a stride of zero ends the process. So all of the structure is checked here and none of
the weights: the flatbuffer (:mod:`tipsc.engine.flatbuffer`), that buffers lie in the file and are
as long as their tensors, that operators are known ones, in order, and fit what they are given
(:mod:`tipsc.engine.tflite_shapes`), and that each path is a signature with the engine's input and
output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from tipsc.engine.blob import ALIGNMENT
from tipsc.engine.flatbuffer import Row, parse
from tipsc.engine.format import TFLITE_IDENTIFIER
from tipsc.engine.manifest import Manifest
from tipsc.engine.tflite_schema import OPERATORS, SCHEMA, TYPES, Kind
from tipsc.engine.tflite_shapes import Operation, Tensor, Unfit, expected
from tipsc.errors import EngineDamagedError
from tipsc.signature import TensorSpec

_VERSION = 3
#: axes that LiteRT's kernels have room for, and values of a tensor that they count
_MOST_AXES, _MOST_VALUES = 6, 2**31 - 1
#: in all subgraphs: tensors, operators, what they read and write; and scales. Far beyond what tipsc
#: writes: tables may be shared, so a file can be short and name many of them.
_MOST_PARTS, _MOST_SCALES = 1 << 22, 1 << 26
_PARTS = ("tensors", "inputs", "outputs", "operators")
#: activations that operators have fused: none, and three kinds of ReLU
_FUSED = range(4)
_PADDINGS = range(2)
#: of quantized tensors that are computed: the least scale, and how far those of an operator differ
_LEAST_SCALE, _FARTHEST = 2.0**-20, 2.0**14
#: operators that take no quantized tensors
_OF_NUMBERS = frozenset(("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"))
#: operators that find what their options say in their tensors as well
_WITHOUT_OPTIONS = ("RESHAPE", "CAST")


def check_tflite(model: memoryview, manifest: Manifest, where: str) -> None:
    """Raises EngineDamagedError for a .tflite that is not sound, or not the manifest's."""
    parsed = parse(model, SCHEMA, "Model", TFLITE_IDENTIFIER, where)
    if parsed["version"] != _VERSION:
        _refuse("another version of .tflite", where, _VERSION, parsed["version"])
    contents = [_content(model, b, f"{where}: buffer {i}") for i, b in enumerate(parsed["buffers"])]
    kinds = [
        _kind(code, f"{where}: operator code {i}")
        for i, code in enumerate(parsed["operator_codes"])
    ]
    _check_parts(parsed["subgraphs"], where)
    graphs: list[list[Tensor]] = []
    for i, graph in enumerate(parsed["subgraphs"]):
        inside = f"{where}: subgraph {i}"
        tensors = [
            _tensor(row, contents, f"{inside}, tensor {j}")
            for j, row in enumerate(graph["tensors"])
        ]
        _check_graph(graph, tensors, kinds, inside)
        graphs.append(tensors)
    _check_signatures(parsed, graphs, manifest, where)


def _check_parts(graphs: Sequence[Row], where: str) -> None:
    """Refuses more work than any model is, before it is done."""
    parts = sum(1 + sum(len(graph[name]) for name in _PARTS) for graph in graphs)
    _bound("parts", parts, _MOST_PARTS, where)
    scales = 0
    for graph in graphs:
        rows = [tensor["quantization"] for tensor in graph["tensors"]]
        lengths = [len(row["scale"]) if row else 0 for row in rows]
        scales += sum(lengths) + sum(len(row["zero_point"]) for row in rows if row)
        for row in graph["operators"]:
            indices = (*row["inputs"], *row["outputs"])
            parts += len(indices)
            _bound("parts", parts, _MOST_PARTS, where)
            scales += sum(lengths[index] for index in indices if 0 <= index < len(lengths))
        _bound("scales", scales, _MOST_SCALES, where)


def _bound(what: str, count: int, most: int, where: str) -> None:
    if count > most:
        _refuse(f"more {what} than any model has", where, f"<= {most}", count)


def _content(model: memoryview, buffer: Row, where: str) -> memoryview | None:
    """The bytes of a buffer in the flatbuffer or behind it; None: it is that of no constant."""
    data, offset, size = buffer["data"], buffer["offset"], buffer["size"]
    if not offset and not size:
        return data if len(data) else None
    if len(data) or offset % ALIGNMENT or not 0 < offset <= offset + size <= len(model):
        _refuse("lies outside the file", where, f"<= {len(model)}", f"{offset} + {size}")
    return model[offset : offset + size]


def _kind(code: Row, where: str) -> Kind:
    # Two fields, since the old one is a byte: the larger number counts.
    number = max(code["deprecated_builtin_code"], code["builtin_code"])
    if number not in OPERATORS:
        _refuse("not an operator of engines", where, None, number)
    return OPERATORS[number]


def _tensor(row: Row, contents: Sequence[memoryview | None], where: str) -> Tensor:
    shape, dtype = row["shape"], TYPES.get(row["type"])
    if dtype is None:
        _refuse("not a type of engines", where, None, row["type"])
    if len(shape) > _MOST_AXES or min(shape, default=1) < 1:
        _refuse("not a static shape", where, None, list(shape))
    if math.prod(shape) > _MOST_VALUES:
        _refuse("more values than any tensor has", where, f"<= {_MOST_VALUES}", list(shape))
    if row["buffer"] >= len(contents):
        _refuse("there is no such buffer", where, f"< {len(contents)}", row["buffer"])
    content = contents[row["buffer"]]
    length = math.prod(shape) * np.dtype(dtype).itemsize
    if content is not None and len(content) != length:
        _refuse("its buffer has another length than its shape", where, length, len(content))
    if row["quantization"] is not None:
        _check_quantization(row["quantization"], shape, dtype, where)
    if row["sparsity"] is not None:
        _check_order(row["sparsity"], shape, where)
        if content is None or dtype != "float32":
            _refuse("a sparse tensor that is no constant of float32", where)
    scales = row["quantization"]["scale"] if row["quantization"] else ()
    return Tensor(shape, dtype, content, row["sparsity"] is not None, scales)


def _check_quantization(row: Row, shape: Sequence[int], dtype: str, where: str) -> None:
    scales, zeros, axis = row["scale"], row["zero_point"], row["quantized_dimension"]
    if not 0 <= axis < max(len(shape), 1):
        _refuse("a quantized dimension that is not there", where, f"< {len(shape)}", axis)
    lengths = {0, 1, shape[axis] if shape else 1}
    if len(scales) not in lengths or len(zeros) not in {0, len(scales)}:
        _refuse("a number of scales that does not fit", where, sorted(lengths), len(scales))
    if not all(0 < scale < math.inf for scale in scales):
        _refuse("a scale that is not positive", where)
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        if not all(info.min <= zero <= info.max for zero in zeros):
            _refuse("a zero point beyond its type", where, dtype)
    elif scales:
        _refuse("scales of what is not quantized", where, None, dtype)


def _check_order(row: Row, shape: Sequence[int], where: str) -> None:
    """Axes in another order, and nothing left out."""
    order, axes = row["traversal_order"], row["dim_metadata"]
    sizes = [(axis["format"], axis["dense_size"]) for axis in axes]
    if sorted(order) != list(range(len(shape))) or sizes != [(0, shape[i]) for i in order]:
        _refuse("a sparse tensor that leaves something out", where)


def _check_graph(graph: Row, tensors: Sequence[Tensor], kinds: Sequence[Kind], where: str) -> None:
    def at(index: int, place: str) -> Tensor:
        if not 0 <= index < len(tensors):
            _refuse("there is no such tensor", place, f"< {len(tensors)}", index)
        return tensors[index]

    known = {i for i, tensor in enumerate(tensors) if tensor.content is not None}
    for index in graph["inputs"]:
        at(index, where)
        if index in known:
            _refuse("an input that is known already", where, None, index)
        known.add(index)
    for number, row in enumerate(graph["operators"]):
        if row["opcode_index"] >= len(kinds):
            _refuse("there is no such operator code", where, f"< {len(kinds)}", row["opcode_index"])
        kind = kinds[row["opcode_index"]]
        place = f"{where}, operator {number} ({kind.name})"
        for index in row["inputs"]:
            if index != -1 and (at(index, place) is None or index not in known):
                _refuse("reads a tensor that nothing wrote", place, None, index)
        inputs = tuple(None if index == -1 else tensors[index] for index in row["inputs"])
        shapes = _expected(kind, row, inputs, place)
        for index, shape in zip(row["outputs"], shapes, strict=True):
            if at(index, place).shape != shape:
                _refuse(
                    "gives another shape than its tensor has", place, tensors[index].shape, shape
                )
            if index in known:
                _refuse("writes a tensor that is known already", place, None, index)
            known.add(index)
        _check_scales(kind, inputs, [tensors[index] for index in row["outputs"]], place)
    for index in graph["outputs"]:
        if at(index, where).content is not None or index not in known:
            _refuse("an output that nothing writes", where, None, index)


def _expected(
    kind: Kind, row: Row, inputs: tuple[Tensor | None, ...], where: str
) -> Sequence[tuple[int, ...]]:
    fewest, most = kind.inputs
    if not fewest <= len(inputs) <= most:
        _refuse("another number of inputs", where, f"{fewest} to {most}", len(inputs))
    options: Mapping[str, object] | None = row["builtin_options"]
    name = SCHEMA.unions["BuiltinOptions"].get(row["builtin_options_type"], "-")
    if name not in ("-", kind.options) or (options is None and _needs_options(kind)):
        _refuse("options of another operator", where, kind.options, name)
    options = options or {}
    if options.get("fused_activation_function", 0) not in _FUSED:
        _refuse("not an activation", where, None, options["fused_activation_function"])
    if kind.name == "SOFTMAX" and options.get("beta") != 1:
        _refuse("not a softmax of engines", where, "beta 1", options.get("beta"))
    if options.get("padding", 0) not in _PADDINGS:
        _refuse("not a padding", where, None, options["padding"])
    sparse = any(tensor is not None and tensor.sparse for tensor in inputs)
    if sparse and kind.rule != "densify":
        _refuse("reads a sparse tensor", where)
    try:
        return expected(kind.rule, Operation(inputs, len(row["outputs"]), options))
    except Unfit as error:
        _refuse(f"does not fit what it is given: {error}", where)


def _check_scales(
    kind: Kind, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], where: str
) -> None:
    """What is computed of integers: LiteRT ends the process where scales are too far apart."""
    computed = [t for t in (*inputs, *outputs) if t is not None and t.content is None]
    scales = [scale for tensor in computed for scale in tensor.scales]
    if not scales:
        return
    if kind.name in _OF_NUMBERS:
        _refuse("compares what is quantized", where)
    low, high = min(scales), max(scales)
    if not _LEAST_SCALE <= low <= high <= 1 / _LEAST_SCALE or high > _FARTHEST * low:
        _refuse("scales beyond those of numbers, or too far apart", where, None, [low, high])


def _needs_options(kind: Kind) -> bool:
    """Whether LiteRT would take zeros for what the operator has to be told."""
    return kind.name not in _WITHOUT_OPTIONS and bool(SCHEMA.tables.get(kind.options))


def _check_signatures(
    parsed: Row, graphs: Sequence[Sequence[Tensor]], manifest: Manifest, where: str
) -> None:
    found, known = set(), {path.id: manifest.signature_of(path) for path in manifest.paths}
    for signature in parsed["signature_defs"]:
        key, number = signature["signature_key"], signature["subgraph_index"]
        inside = f"{where}: signature {key}"
        if key in found or number >= len(graphs):
            _refuse("a signature that is repeated, or of no subgraph", inside, None, number)
        found.add(key)
        graph, whole = parsed["subgraphs"][number], known.get(key, manifest.signature)
        for part, specs in (("inputs", whole.inputs), ("outputs", whole.outputs)):
            indices = [entry["tensor_index"] for entry in signature[part]]
            if indices != list(graph[part]) or len(indices) != len(specs):
                _refuse(f"other {part} than its subgraph", inside, len(specs), indices)
            for index, spec in zip(indices, specs, strict=True):
                _check_spec(graphs[number][index], spec, part, inside)
    for path in manifest.paths:
        if path.id not in found:
            _refuse(f"the .tflite has no signature {path.id}", where)


def _check_spec(tensor: Tensor, spec: TensorSpec, part: str, where: str) -> None:
    shape, dtype = spec.shape, spec.dtype
    if part == "inputs":  # numbers of tokens are taken in half the size
        shape = tuple(shape[i] for i in spec.channels_last)
        dtype = "int32" if dtype == "int64" else dtype
    if (tensor.dtype, tensor.shape) != (dtype, shape):
        _refuse(
            f"the manifest says otherwise of {spec.name}",
            where,
            f"{dtype}{list(shape)}",
            f"{tensor.dtype}{list(tensor.shape)}",
        )


def _refuse(what: str, where: str, expected: object = None, got: object = None) -> NoReturn:
    raise EngineDamagedError(
        what, where=where, expected=expected, got=got, fix="build the engine again with tipsc"
    )
