"""Reads an ONNX file: what is constant is computed, the rest becomes a torch module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tipsc.errors import ConversionError, first_line
from tipsc.from_onnx.module import Graph, OnnxModel, compute, unreadable
from tipsc.from_onnx.values import Node

_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial")
#: inputs that are settings rather than weights, by operator and place
_SETTINGS = {
    "Resize": (1, 2, 3),
    "Upsample": (1,),
    "Clip": (1, 2),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Pow": (1,),
}


def read_onnx(file: Path) -> OnnxModel:
    """The model of a file, in eval mode.

    Floats of one number or more become parameters, which can be trained; the file's batch may be of
    any size, or one, which is then taken for any.

    Raises:
        ConversionError: it is no ONNX file, or has an operator that has no counterpart in torch
            here; names the node.
    """
    import onnx
    import onnx.inliner

    try:
        model = onnx.inliner.inline_local_functions(onnx.load(file))
    except Exception as error:
        raise ConversionError(
            "this is no ONNX file, or a damaged one",
            where=str(file),
            got=first_line(error),
            fix="export or copy it again; what it keeps in other files has to lie beside it",
        ) from error
    graph = model.graph
    versions = {opset.domain: opset.version for opset in model.opset_import}
    known = {one.name: _array(one, file) for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in known]
    if not inputs:
        raise ConversionError(
            "the graph has no input",
            where=str(file),
            fix="export the model with what it takes as an input of the graph",
        )
    one = any(_is_for_one(given) for given in inputs)
    nodes = [_node(i, node, versions, file, one) for i, node in enumerate(graph.node)]
    live = list(_live(nodes, known, file))
    outputs = tuple(output.name for output in graph.output)
    needed = _needed(live, outputs)
    settings = {
        node.inputs[place]
        for node in needed
        for place in _SETTINGS.get(node.operator, ())
        if place < len(node.inputs)
    }
    read = {name for node in needed for name in node.inputs} | {*outputs}
    weights = {
        name: value
        for name, value in known.items()
        if name in read - settings and value.dtype == np.float32 and value.size > 1
    }
    statistics = frozenset(
        name for n in needed if n.operator == "BatchNormalization" for name in n.inputs[3:5]
    )
    others = {n: v for n, v in known.items() if n in read and n not in weights}
    names = tuple(given.name for given in inputs)
    found = Graph(file, names, outputs, tuple(needed), weights, statistics, others)
    return OnnxModel.of(found).eval()


def _array(proto: Any, file: Path) -> np.ndarray:
    from onnx import numpy_helper

    try:
        array: np.ndarray = numpy_helper.to_array(proto, str(file.parent))
    except Exception as error:
        raise ConversionError(
            "a weight cannot be read",
            where=f"{file}, {proto.name}",
            got=first_line(error),
            fix="copy the file again, with the files of its weights beside it",
        ) from error
    return array


def _is_for_one(given: Any) -> bool:
    """Whether an input has a first axis that is one example."""
    dims = given.type.tensor_type.shape.dim
    return bool(dims) and dims[0].HasField("dim_value") and dims[0].dim_value == 1


def _node(number: int, proto: Any, versions: dict[str, int], file: Path, one: bool) -> Node:
    from onnx import helper

    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.type == attribute.TENSOR:
            value = _array(value, file)
        elif isinstance(value, bytes):
            value = value.decode()
        elif not isinstance(value, int | float):
            value = list(value) if isinstance(value, Iterable) else value
        attributes[attribute.name] = value
    name = proto.name or (proto.output[0] if proto.output else str(number))
    outputs, inputs = tuple(proto.output), tuple(proto.input)
    version = versions.get(proto.domain, 1)
    node = Node(proto.op_type, name, inputs, outputs, attributes, version, one)
    if proto.domain not in ("", "ai.onnx"):
        raise unreadable(node, file, f"an operator of {proto.domain}")
    if proto.op_type in _RANDOM:
        raise unreadable(node, file, "the output depends on chance")
    return node


def _live(nodes: Iterable[Node], known: dict[str, np.ndarray], file: Path) -> Iterator[Node]:
    """The nodes that depend on an input; what the others compute becomes known."""
    for node in nodes:
        if node.operator == "Constant":
            known[node.outputs[0]] = _constant(node, file)
        elif all(name in known or not name for name in node.inputs):
            inputs = [known[name] if name else None for name in node.inputs]
            with torch.no_grad():
                found = compute(node, inputs, file)
            arrays = [v.numpy() if isinstance(v, Tensor) else v for v in found]
            known |= dict(zip(node.outputs, arrays, strict=False))
        else:
            yield node


def _constant(node: Node, file: Path) -> np.ndarray:
    for key, value in node.attributes.items():
        if key == "value":
            return np.asarray(value)
        if key in ("value_float", "value_floats"):
            return np.asarray(value, np.float32)
        if key in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
    raise unreadable(node, file, "a constant that is no tensor")


def _needed(nodes: list[Node], outputs: Iterable[str]) -> list[Node]:
    """Without those that no output depends on."""
    read, kept = set(outputs), []
    for node in reversed(nodes):
        if read & {*node.outputs}:
            read |= {*node.inputs}
            kept.append(node)
    return kept[::-1]
