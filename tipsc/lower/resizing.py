"""Maps in another size than the largest path has them: the ONNX node for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from onnx import NodeProto, helper
from torch import nn

from tipsc.lower.operations import PlannedOperation
from tipsc.lower.template import Template


def is_resized(operation: PlannedOperation, template: Template) -> bool:
    """Whether the template does not do: it has nothing to resize, or states another size."""
    if not template.nodes:
        return isinstance(operation.module, nn.AvgPool2d | nn.Upsample)
    return operation.shape != template.shape and _states_size(template.nodes[-1])


def _states_size(node: NodeProto) -> bool:
    """Whether it interpolates to a size, not by factors."""
    return node.op_type == "Resize" and len(node.input) > 3 and bool(node.input[3])


def resize(
    output: str,
    operation: PlannedOperation,
    template: Template,
    maps: str,
    constant: Callable[[np.ndarray], str],
) -> NodeProto:
    """The node that writes `output`.

    Args:
        maps: the name of what it reads.
        constant: adds a constant to the graph and gives its name.
    """
    module = operation.module
    if not template.nodes and isinstance(module, nn.AvgPool2d):
        side = cast(int, module.kernel_size)
        return helper.make_node(
            "AveragePool", [maps], [output], kernel_shape=[side, side], strides=[side, side]
        )
    sizes = constant(np.asarray(operation.shape, np.int64))
    if not template.nodes:
        return helper.make_node(
            "Resize",
            [maps, "", "", sizes],
            [output],
            mode="linear",
            coordinate_transformation_mode="pytorch_half_pixel",
        )
    placed = NodeProto()
    placed.CopyFrom(template.nodes[-1])
    placed.name = f"{operation.label}/0/"
    placed.input[:] = [maps, "", "", sizes]
    placed.output[:] = [output]
    return placed
