"""What each ATen operation is, one record each: the one place that knows them by name.

A new operation is an entry in the file of its kind, and a case in
``tests/elastic/architectures/kinds.py``.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

import torch
from torch import fx

from tipsc.convert.emit import Emitter
from tipsc.convert.ops.elementwise import ELEMENT, ELEMENTWISE
from tipsc.convert.ops.layers import LAYERS
from tipsc.convert.ops.made import MADE
from tipsc.convert.ops.norms import NORMS
from tipsc.convert.ops.parts import PARTS
from tipsc.convert.ops.pooling import POOLING
from tipsc.convert.ops.products import PRODUCTS
from tipsc.convert.ops.record import Op, Role
from tipsc.convert.ops.recurrent import RECURRENT
from tipsc.convert.ops.reductions import REDUCTIONS
from tipsc.convert.ops.shapes import SHAPES
from tipsc.convert.program import Program, bound, is_tensors, name_of

__all__ = ["OPS", "Op", "Role", "build", "is_layer", "op_of"]

OPS: Mapping[str, Op] = {
    **LAYERS,
    **NORMS,
    **POOLING,
    **SHAPES,
    **PARTS,
    **PRODUCTS,
    **REDUCTIONS,
    **ELEMENTWISE,
    **MADE,
    **RECURRENT,
}
"""By the operator's name, without its overload."""

_UNKNOWN = Op()


def op_of(node: fx.Node) -> Op:
    """The record of an operation; one that says nothing, if it has none."""
    found = OPS.get(name_of(node))
    if found is not None:
        return found
    return ELEMENT if torch.Tag.pointwise in getattr(node.target, "tags", ()) else _UNKNOWN


def is_layer(program: Program, node: fx.Node) -> bool:
    """Whether an operation is built as a layer with weights of its own."""
    has_weights = op_of(node).is_layer
    return has_weights is not None and has_weights(program, bound(node))


def build(e: Emitter, node: fx.Node) -> None:
    """Adds an operation to a supernet, as its record says or as it is."""
    if node.target is operator.getitem and not is_tensors(node.meta.get("val")):
        return
    op = op_of(node)
    if op.build is None or (op.is_layer is not None and not is_layer(e.program, node)):
        e.same(node)
    else:
        op.build(e, node, bound(node))
