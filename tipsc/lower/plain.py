"""Graphs whose layers read their weights as they are stored, as TensorRT's parser wants them.

In a portable graph a path's part of a tensor may be a Slice of it, and its bias a Cast. ONNX
Runtime computes that when it loads the graph. TensorRT's parser takes the weights and biases of a
convolution from initializers; what is computed, it takes in some versions and layers and not in
others. So it is computed here, and stored. A part that is the first rows needs none of this and
goes on sharing its bytes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tipsc.engine.external import External, external_data, rewrite_external
from tipsc.errors import LoweringError
from tipsc.lower.constants import evaluated
from tipsc.lower.lower import Lowered
from tipsc.lower.opset import to_older
from tipsc.lower.places import compacted, external_tensor, place_of, replace_nodes, sizes_of
from tipsc.lower.weights import WeightStore

_INLINE_BYTES = 64
#: what stays in the graph though it reads constants only: it says what is int8
_QUANTISING = ("QuantizeLinear", "DequantizeLinear")


def in_older_opset(lowered: Lowered) -> Lowered:
    """The same paths in the opset that the oldest TensorRT reads, where they have such a form."""
    try:
        graphs = {path: to_older(graph) for path, graph in lowered.graphs.items()}
    except LoweringError as error:  # newer ones can read it as it is
        remark = f"its graphs need TensorRT 10 or newer ({error})"
        return replace(lowered, remark=remark)
    return replace(lowered, graphs=graphs)


def with_plain_weights(lowered: Lowered) -> Lowered:
    """The same paths, in which nothing is computed of weights alone."""
    store = WeightStore(lowered.weights)  # whole: what nothing reads any more goes at the end
    graphs = {path: _apart(_folded(graph, store), store) for path, graph in lowered.graphs.items()}
    weights, graphs = compacted(store.to_bytes(), graphs)
    return replace(lowered, weights=weights, graphs=graphs, sizes=sizes_of(graphs))


def _apart(graph: bytes, store: WeightStore) -> bytes:
    """The graph, of whose tensors no two begin at one place and end at two.

    Tensors of equal content are stored once, and a path may use more of one than of the other.
    TensorRT takes a constant for the place where it begins.
    """
    longest: dict[int, int] = {}
    for place in external_data(graph):
        longest[place.offset] = max(place.length, longest.get(place.offset, 0))

    def alone(place: External) -> External:
        if place.length == longest[place.offset]:
            return place
        content = store.read(place.offset, place.length)
        return replace(place, offset=store.add_bytes(content).offset)

    return rewrite_external(graph, alone)


def _folded(graph: bytes, store: WeightStore) -> bytes:
    model = onnx.load_from_string(graph)
    inner = model.graph
    tensors = {tensor.name: tensor for tensor in inner.initializer}
    values: dict[str, np.ndarray] = {}

    def value(name: str) -> np.ndarray:
        if name not in values:
            values[name] = _array(tensors[name], store)
        return values[name]

    nodes: list[NodeProto] = []
    for node in inner.node:
        read = [name for name in node.input if name]
        known = all(name in tensors for name in read)
        if not read or not known or node.op_type in _QUANTISING:
            nodes.append(node)
            continue
        feeds = {name: value(name) for name in read}
        results = evaluated(node, feeds, model.opset_import[0].version)
        for name, result in zip(node.output, results, strict=True):
            values[name] = result
            tensors[name] = _tensor(name, result, store)
    replace_nodes(inner, nodes, tensors)
    return bytes(model.SerializeToString(deterministic=True))


def _array(tensor: TensorProto, store: WeightStore) -> np.ndarray:
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    offset, length = place_of(tensor)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.frombuffer(store.read(offset, length), dtype).reshape(tuple(tensor.dims))


def _tensor(name: str, value: np.ndarray, store: WeightStore) -> TensorProto:
    if value.nbytes <= _INLINE_BYTES:
        return numpy_helper.from_array(value, name)
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return external_tensor(name, kind, value.shape, store.add_bytes(value.tobytes()))
