"""Graphs in an older ONNX: TensorRT 8.6, that of JetPack 6.0, reads opset 17.

Its parser takes the axes of a reduction from an attribute alone, and passes over the input that
came with opset 18: without this it would reduce over all axes (NVIDIA/TensorRT#3467).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, defs, helper, numpy_helper

from tipsc.errors import LoweringError

OLDER = 17
#: operators that changed since, in element types and in attributes that are left at their default
_SAME = frozenset((
    "AveragePool", "Cast", "ConstantOfShape", "DequantizeLinear", "Equal", "Identity",
    "If", "IsInf", "IsNaN", "Pad", "QuantizeLinear", "ReduceSum", "Reshape", "Resize",
    "ScatterElements", "ScatterND", "Shape", "Size", "Split",
))  # fmt: skip
#: values of attributes that came later, which older parsers pass over
_LATER_VALUES: Mapping[tuple[str, str], frozenset[bytes]] = {
    ("Pad", "mode"): frozenset({b"wrap"}),
    ("Resize", "coordinate_transformation_mode"): frozenset({b"half_pixel_symmetric"}),
    ("ScatterElements", "reduction"): frozenset({b"max", b"min"}),
    ("ScatterND", "reduction"): frozenset({b"max", b"min"}),
}
#: reductions whose axes became an input with opset 18; ReduceSum's did with 13
_REDUCTIONS = frozenset((
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSumSquare",
))  # fmt: skip


def to_older(graph: bytes) -> bytes:
    """The same computation in opset :data:`OLDER`.

    Raises:
        LoweringError: an operator has no such form there; it names the operator.
    """
    model = onnx.load_from_string(graph)
    inner = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in inner.initializer if not t.external_data}
    nodes: list[NodeProto] = []
    shapes: dict[str, tuple[int, ...]] | None = None
    for place, node in enumerate(inner.node):
        if node.op_type in _REDUCTIONS:
            nodes.append(_with_axes(node, constants))
        elif any(attribute.name == "num_outputs" for attribute in node.attribute):
            shapes = _shapes(model) if shapes is None else shapes
            nodes.append(_in_sizes(node, shapes))
        elif node.op_type == "Gelu":
            nodes += _gelu(node, f"gelu{place}", inner)
        else:
            nodes.append(_older(node, model.opset_import[0].version))
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del inner.node[:], model.opset_import[:], inner.value_info[:]
    inner.node.extend(kept)
    model.opset_import.append(helper.make_opsetid("", OLDER))
    return bytes(model.SerializeToString(deterministic=True))


def _in_sizes(node: NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> NodeProto:
    """A split into a number of parts: that is what it is without one, if they are equal."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    size = shapes.get(node.input[0], ())
    if not size or size[axis] % len(node.output):
        raise LoweringError("its parts may differ", where=f"Split {node.output[0]}")
    return helper.make_node("Split", [node.input[0]], node.output, node.name, axis=axis)


def _with_axes(node: NodeProto, constants: Mapping[str, np.ndarray]) -> NodeProto:
    """A reduction with its axes as an attribute."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    empty_is_none = attributes.pop("noop_with_empty_axes", 0)
    if len(node.input) > 1 and node.input[1]:
        if node.input[1] not in constants:
            raise LoweringError("its axes are computed", where=f"{node.op_type} {node.output[0]}")
        if constants[node.input[1]].size:
            attributes["axes"] = constants[node.input[1]].tolist()
    if empty_is_none and "axes" not in attributes:
        return helper.make_node("Identity", [node.input[0]], node.output, node.name)
    return helper.make_node(node.op_type, [node.input[0]], node.output, node.name, **attributes)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Of what the nodes compute, as far as it can be told."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*inferred.value_info, *inferred.input)
    }


def _gelu(node: NodeProto, prefix: str, graph: GraphProto) -> list[NodeProto]:
    """Gaussian error linear units: x / 2 * (1 + erf(x / sqrt(2))), or the tanh approximation.

    Source: Hendrycks and Gimpel, arXiv 1606.08415.
    """
    x = node.input[0]
    kinds = [a.s.decode() for a in node.attribute if a.name == "approximate"]

    def constant(name: str, value: float) -> str:
        array = np.asarray(value, np.float32)
        graph.initializer.append(numpy_helper.from_array(array, f"{prefix}:{name}"))
        return f"{prefix}:{name}"

    steps: list[tuple[str, list[str]]]
    if kinds == ["tanh"]:
        steps = [
            ("Mul", [x, x]),
            ("Mul", ["0", x]),
            ("Mul", ["1", constant("cubic", 0.044715)]),
            ("Add", ["2", x]),
            ("Mul", ["3", constant("scale", math.sqrt(2 / math.pi))]),
            ("Tanh", ["4"]),
        ]
    else:
        steps = [("Mul", [x, constant("scale", math.sqrt(0.5))]), ("Erf", ["0"])]
    steps += [
        ("Add", [str(len(steps) - 1), constant("one", 1.0)]),
        ("Mul", [str(len(steps)), x]),
        ("Mul", [str(len(steps) + 1), constant("half", 0.5)]),
    ]
    made = [f"{prefix}:{place}" for place in range(len(steps) - 1)] + [node.output[0]]
    return [
        helper.make_node(kind, [made[int(n)] if n.isdigit() else n for n in read], [output])
        for (kind, read), output in zip(steps, made, strict=True)
    ]


def _older(node: NodeProto, opset: int) -> NodeProto:
    """A node without what its operator got later, where it makes no use of that."""
    where = f"{node.op_type} {node.output[0]}"
    try:
        schema = defs.get_schema(node.op_type, OLDER, node.domain)
    except defs.SchemaError as error:
        raise LoweringError(f"opset {OLDER} has no such operator", where=where) from error
    newer = defs.get_schema(node.op_type, opset, node.domain)
    if newer.since_version > OLDER and node.op_type not in _SAME:
        raise LoweringError(f"it is another operator in opset {OLDER}", where=where)
    copy = NodeProto.FromString(node.SerializeToString())
    del copy.attribute[:]
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "dilations" and node.op_type == "AveragePool" and set(value) == {1}:
            continue
        if value in _LATER_VALUES.get((node.op_type, attribute.name), ()):
            raise LoweringError(
                f"opset {OLDER} has no {attribute.name} {value.decode()}", where=where
            )
        if attribute.name in schema.attributes:
            copy.attribute.append(attribute)
        elif attribute != newer.attributes[attribute.name].default_value:
            raise LoweringError(f"opset {OLDER} has no {attribute.name}", where=where)
    while copy.input and not copy.input[-1]:
        del copy.input[-1]
    if len(copy.input) > schema.max_input:
        raise LoweringError(f"opset {OLDER} takes fewer inputs", where=where)
    return copy
