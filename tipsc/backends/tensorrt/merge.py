"""Paths that differ in depth as one graph, in which boolean inputs say which of them runs.

Such paths use the same tensors whole, and TensorRT keeps bytes once however many constants are
made of them. Each branch has constants of its own: NVIDIA's parser makes one where it is first
read, and a branch may not read what is made within another. Paths of other widths use other parts
of a tensor: they gain nothing, and TensorRT refuses two constants of other lengths that begin at
the same place.

Merging needs the package onnx, which a device does not: it is done where the device is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tipsc.engine.external import external_initializers
from tipsc.engine.plan import switch_names
from tipsc.engine.signature import said

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto, ValueInfoProto

#: of the weights that a path uses, what at least its group has to have already
_SHARED = 0.5
_MOST = 16  # paths of a group: each is a branch within a branch


def depth_groups(graphs: Mapping[str, bytes]) -> tuple[tuple[str, ...], ...]:
    """Sets of paths that one plan could serve, each of two or more; no path is in two.

    Args:
        graphs: path graphs over one weight store, by path id.

    Returns:
        Path ids in the order of `graphs`.
    """
    parts = {
        name: {i.data.offset: i.data.length for i in external_initializers(graph)}
        for name, graph in graphs.items()
    }
    size = {name: sum(of.values()) for name, of in parts.items()}
    takes = {name: said(graph, "inputs", f"path {name}") for name, graph in graphs.items()}
    groups: list[tuple[list[str], dict[int, int]]] = []
    for name in sorted(graphs, key=lambda name: -size[name]):  # others are parts of the largest
        own = parts[name]
        for members, held in groups:
            shared = sum(length for offset, length in own.items() if offset in held)
            fits = all(held.get(offset, length) == length for offset, length in own.items())
            alike = takes[name] == takes[members[0]]  # and not for more examples at once
            if alike and fits and shared >= _SHARED * size[name] and len(members) < _MOST:
                members.append(name)
                held |= own
                break
        else:
            groups.append(([name], dict(own)))
    return tuple(
        tuple(name for name in graphs if name in members)
        for members, _ in groups
        if len(members) > 1
    )


def merge_graphs(graphs: Sequence[bytes]) -> bytes:
    """One graph of several: ``If(runs0, the first, If(runs1, the second, ...))``.

    The conditions are :func:`tipsc.engine.plan.switch_names`. Branches are whole paths: what is
    fused within one stays fused, and nothing of the others runs.

    Args:
        graphs: at least two path graphs with the same inputs and outputs, over one weight store.
    """
    import onnx
    from onnx import helper

    models = [onnx.load_from_string(graph) for graph in graphs]
    names = switch_names(len(models))
    inputs = models[0].graph.input
    constants: list[TensorProto] = []
    branches = [
        _branch(model.graph, f"p{place}", {i.name for i in inputs}, constants)
        for place, model in enumerate(models)
    ]
    rest = branches[-1]
    for place in range(len(models) - 2, -1, -1):
        outer = "" if place == 0 else f"from{place}:"
        outputs = [_named(value, f"{outer}{value.name}") for value in models[0].graph.output]
        choose = helper.make_node(
            "If",
            [names[place]],
            [value.name for value in outputs],
            then_branch=branches[place],
            else_branch=rest,
        )
        rest = helper.make_graph([choose], f"from{place}", [], outputs)
    conditions = [helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, []) for name in names]
    graph = helper.make_graph(rest.node, "group", [*inputs, *conditions], rest.output, constants)
    model = helper.make_model(
        graph, opset_imports=models[0].opset_import, producer_name=models[0].producer_name
    )
    model.ir_version = models[0].ir_version
    return bytes(model.SerializeToString(deterministic=True))


def _branch(
    graph: GraphProto, prefix: str, inputs: set[str], constants: list[TensorProto]
) -> GraphProto:
    """A path as a branch, with names of its own for all but the inputs; adds its constants."""
    from onnx import NodeProto, TensorProto, helper

    def own(name: str) -> str:
        return name if name in inputs or not name else f"{prefix}:{name}"

    for tensor in graph.initializer:
        constant = TensorProto()
        constant.CopyFrom(tensor)
        constant.name = own(tensor.name)
        constants.append(constant)
    nodes = []
    for node in graph.node:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{prefix}:{node.name}" if node.name else ""
        copy.input[:] = [own(name) for name in node.input]
        copy.output[:] = [own(name) for name in node.output]
        nodes.append(copy)
    outputs = [_named(value, own(value.name)) for value in graph.output]
    return helper.make_graph(nodes, graph.name, [], outputs)


def _named(value: ValueInfoProto, name: str) -> ValueInfoProto:
    copy = type(value)()
    copy.CopyFrom(value)
    copy.name = name
    return copy
