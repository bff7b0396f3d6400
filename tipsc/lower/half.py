"""Portable graphs in half precision: fp16 inside, inputs and outputs as they were.

The precision stands in the graph: a Cast after each input, a Cast before each output, and fp16
weights between. A strongly typed TensorRT network takes it as it is; ONNX Runtime runs the same
graph, which is how its numerics are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, TensorProto, helper, numpy_helper

from tipsc.engine.external import External, rewrite_external
from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.errors import LoweringError
from tipsc.lower.lower import Lowered
from tipsc.lower.places import place_of, runs, sizes_of

LARGEST = float(np.finfo(np.float16).max)
#: from here on a value means "endless", as the bound of a clamp or in a mask of attention
_ENDLESS = 1e30
#: operator to the inputs that stay fp32 by its definition
_STAY: Mapping[str, frozenset[int]] = {"Resize": frozenset({1, 2}), "Upsample": frozenset({1})}
#: operator to the opset from which on it takes half precision; one that does not exist for never
_LATER: Mapping[str, int] = {"Celu": 99, "IsInf": 20}
_HALF = ".half"


def to_half(lowered: Lowered) -> Lowered:
    """The same paths with fp16 weights and activations.

    Raises:
        LoweringError: a weight is out of the range of fp16, or a graph has control flow.
    """
    weights, moved = _halve(lowered)
    graphs = {path: _graph(graph, path, moved) for path, graph in lowered.graphs.items()}
    return replace(lowered, weights=weights, graphs=graphs, sizes=sizes_of(graphs))


def _halve(lowered: Lowered) -> tuple[bytes, dict[tuple[int, int], External]]:
    """The store with fp32 tensors halved, and where each of the old references lies now.

    Tensors that overlap (a path's part is a prefix of another's) go on doing so.
    """
    floats, others = set(), set()
    for path, graph in lowered.graphs.items():
        for tensor in onnx.load_from_string(graph).graph.initializer:
            if tensor.data_location != TensorProto.EXTERNAL:
                continue
            offset, length = place_of(tensor)
            if tensor.data_type == TensorProto.FLOAT:
                _check_range(lowered.weights, offset, length, f"path {path}, {tensor.name}")
                floats.add((offset, length))
            else:
                others.add((offset, length))
    store, moved = bytearray(), {}
    for begin, end in runs(floats | others):
        kinds = {
            kind
            for kind, places in (("float", floats), ("other", others))
            if any(begin <= offset < end for offset, _ in places)
        }
        store += bytes(-len(store) % 64)
        start, shrink = len(store), 2 if kinds == {"float"} else 1
        if len(kinds) > 1:
            raise LoweringError("weights of several types share bytes", where=f"byte {begin}")
        content = lowered.weights[begin:end]
        if shrink == 2:
            store += _rounded(np.frombuffer(content, np.float32)).tobytes()
        else:
            store += content
        for offset, length in floats | others:
            if begin <= offset < end:
                moved[offset, length] = External(
                    WEIGHTS_LOCATION, start + (offset - begin) // shrink, length // shrink
                )
    return bytes(store), moved


def _check_range(weights: bytes, offset: int, length: int, where: str) -> None:
    values = np.abs(np.frombuffer(weights, np.float32, length // 4, offset))
    largest = float(values.max(initial=0.0, where=~(values >= _ENDLESS)))  # NaN is the largest
    if not largest <= LARGEST:
        raise LoweringError(
            "a weight does not fit half precision",
            where=where,
            expected=f"at most {LARGEST:g}",
            got=f"{largest:g}",
            fix="build this model in fp32",
        )


def _graph(graph: bytes, path: str, moved: Mapping[tuple[int, int], External]) -> bytes:
    graph = rewrite_external(graph, lambda place: moved[place.offset, place.length])
    model = onnx.load_from_string(graph)
    inner = model.graph
    for node in inner.node:
        since = _LATER.get(node.op_type, 0)
        if model.opset_import[0].version < since:
            raise LoweringError(
                f"ONNX has no {node.op_type} in half precision",
                where=f"path {path}, {node.name or node.output[0]}",
                fix="build this model in fp32, or write it with other operators",
            )
    stay = _stay_fp32(inner)
    for tensor in inner.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in stay:
            _halve_tensor(tensor)
    for node in inner.node:
        for attribute in node.attribute:
            if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                raise LoweringError("control flow has no half precision", where=f"path {path}")
            if attribute.type == AttributeProto.TENSOR and node.output[0] not in stay:
                _halve_tensor(attribute.t)
            elif attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    _cast_borders(inner)
    del inner.value_info[:]
    return bytes(model.SerializeToString(deterministic=True))


def _stay_fp32(graph: GraphProto) -> set[str]:
    """Constants that an operator takes in fp32 only."""
    return {
        name
        for node in graph.node
        for place, name in enumerate(node.input)
        if name and place in _STAY.get(node.op_type, ())
    }


def _halve_tensor(tensor: TensorProto) -> None:
    if tensor.data_type != TensorProto.FLOAT:
        return
    if tensor.data_location == TensorProto.EXTERNAL:
        tensor.data_type = TensorProto.FLOAT16  # its bytes were halved with the store
        return
    values = np.asarray(_rounded(numpy_helper.to_array(tensor)))
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _rounded(values: np.ndarray) -> np.ndarray:
    """In half precision. What is finite stays so: a row that is masked whole has a softmax."""
    inside = np.clip(values, -LARGEST, LARGEST)
    return np.where(np.isinf(values), values, inside).astype(np.float16)


def _cast_borders(graph: GraphProto) -> None:
    """fp32 inputs and outputs stay what they are; inside, their values have other names."""
    renamed, before, after = {}, [], []
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            renamed[value.name] = inside = value.name + _HALF
            before.append(
                helper.make_node("Cast", [value.name], [inside], inside, to=TensorProto.FLOAT16)
            )
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            renamed[value.name] = inside = value.name + _HALF
            after.append(
                helper.make_node("Cast", [inside], [value.name], inside, to=TensorProto.FLOAT)
            )
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = renamed.get(name, name)
    nodes = [*before, *graph.node, *after]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
