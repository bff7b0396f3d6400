"""What a node of a graph computes of constants alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator


def evaluated(node: NodeProto, feeds: Mapping[str, np.ndarray], opset: int) -> list[np.ndarray]:
    """The outputs of a node, in their order.

    Args:
        feeds: its inputs, by name.
        opset: that the node is written in.
    """
    graph = helper.make_graph(
        [node],
        "constant",
        [onnx.ValueInfoProto(name=name) for name in feeds],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    results = ReferenceEvaluator(model).run(None, dict(feeds))
    return [np.asarray(result, order="C") for result in results]
