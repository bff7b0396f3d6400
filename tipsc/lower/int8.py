"""Portable graphs in int8: weights per output channel, activations by ranges seen on data.

The precision stands in the graph, as TensorRT's explicit quantisation wants it: QuantizeLinear and
DequantizeLinear before each convolution and linear layer, DequantizeLinear behind its int8
weights; both symmetric. Sums, products of two activations, transposed convolutions, biases,
weights of a few bytes and all other operations stay fp32. An output channel of a stored tensor has
one scale for all paths, that of its full size: so a path's int8 weights are a part of the stored
ones. Where they are the first rows, they share their bytes; other parts (fewer inputs) are stored
by themselves, since TensorRT takes int8 weights only as they are stored.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference, CVPR 2018; per-channel scales: Krishnamoorthi, arXiv 1806.08342.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from tipsc.errors import LoweringError
from tipsc.lower.lower import Lowered
from tipsc.lower.places import (
    compacted,
    external_tensor,
    place_of,
    replace_nodes,
    runs,
    sizes_of,
)
from tipsc.lower.ranges import CALIBRATION_IMAGES, ranges_of
from tipsc.lower.weights import Stored, WeightStore

_LEVELS = 127  # of each sign
_CUTS = ("Slice", "Concat", "Transpose")  # how a path's weights are a part of stored ones
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Layer:
    """A node whose weights can be int8.

    Attributes:
        node: a convolution or a matrix product.
        stored: the initializer that its weights are, or are cut from.
        axis: of the output channels in what is stored.
    """

    node: NodeProto
    stored: TensorProto
    axis: int


@dataclass(frozen=True)
class _Quantised:
    """A stored tensor in int8."""

    content: npt.NDArray[np.int8]
    scales: _Floats
    axis: int


def to_int8(lowered: Lowered, inputs: Sequence[np.ndarray]) -> Lowered:
    """The same paths with int8 weights and activations.

    Args:
        inputs: (N, ...) each, in the order of the signature, of the training data; the first
            :data:`~tipsc.lower.ranges.CALIBRATION_IMAGES` examples count.

    Raises:
        LoweringError: there are no images, or a path has no layer that could be quantised.
        MissingExtraError: onnxruntime is not installed.
    """
    if not len(inputs[0]):
        raise LoweringError("ranges of activations need images", where="calibration", got="none")
    models = {path: onnx.load_from_string(graph) for path, graph in lowered.graphs.items()}
    layers = {path: _layers(model.graph) for path, model in models.items()}
    stored = _stored(lowered.weights, models, layers)
    for path, found in layers.items():
        if not any(place_of(layer.stored)[0] in stored for layer in found):
            raise LoweringError(
                "none of its layers can be quantised", where=f"path {path}", fix="build it in fp32"
            )
    store = WeightStore()
    moved = _moved(lowered.weights, models, stored, store)
    graphs = {}
    for path, model in models.items():
        names = sorted({layer.node.input[0] for layer in layers[path]})
        ranges = ranges_of(lowered, path, names, [array[:CALIBRATION_IMAGES] for array in inputs])
        _insert(model.graph, layers[path], stored, ranges, store, moved)
        graphs[path] = model.SerializeToString(deterministic=True)
    weights, graphs = compacted(store.to_bytes(), graphs)
    return replace(lowered, weights=weights, graphs=graphs, sizes=sizes_of(graphs))


def _layers(graph: GraphProto) -> list[_Layer]:
    """The nodes whose weights are stored, or cut from what is stored."""
    makers = {name: node for node in graph.node for name in node.output}
    stored = {
        tensor.name: tensor
        for tensor in graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL and tensor.data_type == TensorProto.FLOAT
    }
    found = []
    for node in graph.node:
        axis = _channel_axis(node)
        name = node.input[1] if axis is not None else ""
        while name in makers and makers[name].op_type in _CUTS:
            if axis is not None and makers[name].op_type == "Transpose":
                axis = _transposed(makers[name])[axis]
            name = makers[name].input[0]
        is_matrix = node.op_type != "MatMul" or (name in stored and len(stored[name].dims) == 2)
        if axis is not None and name in stored and is_matrix:
            found.append(_Layer(node, stored[name], axis))
    return found


def _channel_axis(node: NodeProto) -> int | None:
    """The axis of the output channels in a node's weights; None if it has none that count."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return 1 if node.op_type == "MatMul" else None  # weights are matrices, or are left alone


def _transposed(node: NodeProto) -> list[int]:
    """The order of axes that a Transpose gives."""
    (order,) = (a.ints for a in node.attribute if a.name == "perm")
    return list(order)


def _stored(
    weights: bytes, models: Mapping[str, onnx.ModelProto], layers: Mapping[str, Sequence[_Layer]]
) -> dict[int, _Quantised]:
    """By offset in the store: what is read as weights of such layers and as nothing else."""
    axes: dict[int, set[int]] = defaultdict(set)
    shapes: dict[int, tuple[int, ...]] = {}
    others: set[tuple[int, int]] = set()
    for path, model in models.items():
        own = {layer.stored.name for layer in layers[path]}
        readers = _readers(model.graph)
        for layer in layers[path]:
            axes[place_of(layer.stored)[0]].add(layer.axis)
        for tensor in model.graph.initializer:
            if tensor.data_location != TensorProto.EXTERNAL:
                continue
            offset, length = place_of(tensor)
            users = {
                layer.node.output[0] for layer in layers[path] if layer.stored.name == tensor.name
            }
            if tensor.name in own and readers[tensor.name] <= users:
                shapes[offset] = max(shapes.get(offset, ()), tuple(tensor.dims))
            else:
                others.add((offset, length))
    places = {(offset, 4 * int(np.prod(shape))) for offset, shape in shapes.items()}
    found = {}
    for begin, end in runs(places | others):
        inside = {offset for offset, _ in places | others if begin <= offset < end}
        if inside != {begin} or any(begin <= offset < end for offset, _ in others):
            continue  # parts of each other in some other way: they stay as they are
        if len(axes[begin]) == 1:
            values = np.frombuffer(weights, np.float32, (end - begin) // 4, begin)
            found[begin] = _quantised(values.reshape(shapes[begin]), *axes[begin])
    return found


def _readers(graph: GraphProto) -> dict[str, set[str]]:
    """For each value the outputs of the nodes that read it, or something cut from it."""
    readers: dict[str, set[str]] = defaultdict(set)
    for node in reversed(graph.node):
        for name in node.input:
            readers[name] |= readers[node.output[0]] if node.op_type in _CUTS else {node.output[0]}
    return readers


def _quantised(values: _Floats, axis: int) -> _Quantised:
    largest = np.abs(values).max(axis=tuple(i for i in range(values.ndim) if i != axis))
    scales = (np.where(largest > 0, largest, 1) / _LEVELS).astype(np.float32)
    by_channel = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    content = np.clip(np.rint(values / by_channel), -_LEVELS, _LEVELS).astype(np.int8)
    return _Quantised(content, scales, axis)


def _moved(
    weights: bytes,
    models: Mapping[str, onnx.ModelProto],
    stored: Mapping[int, _Quantised],
    store: WeightStore,
) -> dict[tuple[int, int], Stored]:
    """Fills the new store, and says where each of the old references lies now."""
    places = {
        place_of(tensor)
        for model in models.values()
        for tensor in model.graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
    }
    moved = {}
    for begin, end in runs(places):
        shrink, content = 1, np.frombuffer(weights[begin:end], np.int8)
        if begin in stored:
            shrink, content = 4, stored[begin].content
        start = store.add(content).offset
        for offset, length in places:
            if begin <= offset < end:
                moved[offset, length] = Stored(start + (offset - begin) // shrink, length // shrink)
    return moved


def _insert(
    graph: GraphProto,
    layers: Sequence[_Layer],
    stored: Mapping[int, _Quantised],
    ranges: Mapping[str, float],
    store: WeightStore,
    moved: Mapping[tuple[int, int], Stored],
) -> None:
    """The nodes that quantise, before each layer that has int8 weights; references to the store."""
    wanted = {
        layer.node.output[0]: layer for layer in layers if place_of(layer.stored)[0] in stored
    }
    makers = {name: node for node in graph.node for name in node.output}
    constants = {t.name: t for t in graph.initializer}
    zero = numpy_helper.from_array(np.zeros((), np.int8), "int8:zero")
    fresh: dict[str, TensorProto] = {zero.name: zero}
    made: set[str] = set()
    nodes: list[NodeProto] = []

    def constant(name: str, value: np.ndarray) -> str:
        fresh[name] = numpy_helper.from_array(np.asarray(value, np.float32, order="C"), name)
        return name

    def once(kind: str, inputs: list[str], output: str, axis: int | None = None) -> str:
        if output not in made:
            made.add(output)
            node = helper.make_node(kind, inputs, [output], output)
            if axis is not None:
                node.attribute.append(helper.make_attribute("axis", axis))
            nodes.append(node)
        return output

    for node in graph.node:
        layer = wanted.get(node.output[0])
        if layer is not None:
            x, weight = node.input[:2]
            scale = constant(f"{x}:scale", np.asarray((ranges[x] or 1.0) / _LEVELS))
            rounded = once("QuantizeLinear", [x, scale, zero.name], f"{x}:int8")
            cut = _cut(weight, layer, stored[place_of(layer.stored)[0]], makers, constants)
            scales = constant(f"{weight}:scales", cut.scales)
            if weight != layer.stored.name:
                place = store.add(cut.content)
                weight = f"{weight}:int8"
                fresh[weight] = external_tensor(weight, TensorProto.INT8, cut.content.shape, place)
            node.input[0] = once("DequantizeLinear", [rounded, scale, zero.name], f"{x}:rounded")
            node.input[1] = once(
                "DequantizeLinear", [weight, scales], f"{weight}:rounded", cut.axis
            )
        nodes.append(NodeProto.FromString(node.SerializeToString()))
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            is_short = place_of(tensor)[0] in stored
            kind = TensorProto.INT8 if is_short else tensor.data_type
            place = moved[place_of(tensor)]
            fresh[tensor.name] = external_tensor(tensor.name, kind, tensor.dims, place)
        else:
            fresh[tensor.name] = TensorProto.FromString(tensor.SerializeToString())
    replace_nodes(graph, nodes, fresh)


def _cut(
    weight: str,
    layer: _Layer,
    full: _Quantised,
    makers: Mapping[str, NodeProto],
    constants: Mapping[str, TensorProto],
) -> _Quantised:
    """The part of a stored tensor that a path reads under this name."""

    def of(name: str) -> _Quantised:
        if name == layer.stored.name:
            rows = layer.stored.dims[0]
            scales = full.scales[:rows] if full.axis == 0 else full.scales
            return _Quantised(full.content[:rows], scales, full.axis)
        node = makers[name]
        if node.op_type == "Transpose":
            order, part = _transposed(node), of(node.input[0])
            content = np.ascontiguousarray(part.content.transpose(order))
            return _Quantised(content, part.scales, order.index(part.axis))
        if node.op_type == "Concat":
            (axis,) = (a.i for a in node.attribute if a.name == "axis")
            parts = [of(piece) for piece in node.input]
            scales = parts[0].scales
            if axis == parts[0].axis:
                scales = np.concatenate([part.scales for part in parts])
            content = np.concatenate([part.content for part in parts], axis)
            return _Quantised(content, scales, parts[0].axis)
        kept = of(node.input[0])
        content, scales = kept.content, kept.scales
        cuts = (numpy_helper.to_array(constants[n]).tolist() for n in node.input[1:4])
        for start, end, axis in zip(*cuts, strict=True):
            content = np.take(content, range(start, end), axis)
            scales = scales[start:end] if axis == kept.axis else scales
        return _Quantised(content, scales, kept.axis)

    return of(weight)
