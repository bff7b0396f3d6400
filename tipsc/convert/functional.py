"""No operation writes into a tensor that another one made."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import torch
from torch import fx
from torch._ops import HigherOrderOperator, OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind

from tipsc.convert.ops import Role, op_of
from tipsc.convert.program import Program, name_of, place_of
from tipsc.errors import ConversionError


def decomposed(exported: ExportedProgram) -> ExportedProgram:
    """The program without regions (no_grad, autocast) and writes into a part of a tensor.

    torch does that; it is asked only where it must be, since it writes other operations anew too.

    Raises:
        ConversionError: the forward pass changes a buffer.
    """
    nodes = [node for node in exported.graph.nodes if node.op == "call_function"]
    regions = any(isinstance(node.target, HigherOrderOperator) for node in nodes)
    if not regions and all(_is_simple(node) for node in nodes):
        return exported
    exported = exported.run_decompositions({})
    for spec in exported.graph_signature.output_specs:
        if spec.kind == OutputKind.BUFFER_MUTATION:
            raise _changes_buffer(str(spec.target))
    return exported


def _is_simple(node: fx.Node) -> bool:
    """Whether it writes nowhere, or into a tensor that nothing else shares."""
    if not isinstance(node.target, OpOverload) or not node.target._schema.is_mutable:
        return True
    written = _written(node)
    if written is None or _twin(node.target) is None:
        return False
    return written.op == "placeholder" or not _aliases(written, node)


def make_functional(program: Program) -> None:
    """Operations that write into their input become operations that give a new tensor."""
    graph = program.graph
    for node in program.nodes():
        if not isinstance(node.target, OpOverload):
            continue
        if op_of(node).role is Role.ASSERTION:
            graph.erase_node(node)
            continue
        if not node.target._schema.is_mutable:
            continue
        target, overload = _written(node), _twin(node.target)
        if target in program.tensors:
            raise _changes_buffer(f"{program.tensors[target]}, by {name_of(node)}")
        if target is None or overload is None or _aliases(target, node):
            raise ConversionError(
                "changes a part of a tensor, or one that others read",
                where=place_of(node),
                fix="compute a new tensor, for example with torch.where or torch.cat",
            )
        keep = {*_before(graph, node), node}
        node.target = overload
        for user in [u for u in target.users if u not in keep]:
            user.replace_input_with(target, node)
        program.outputs = tuple(node if old is target else old for old in program.outputs)


def _changes_buffer(where: str) -> ConversionError:
    return ConversionError(
        "the forward pass changes a buffer",
        where=where,
        fix="change it in training only: `if self.training:`",
    )


def _written(node: fx.Node) -> fx.Node | None:
    """The one tensor that an operation writes into."""
    arguments = node.target._schema.arguments  # type: ignore[union-attr]
    written = [
        value
        for value, argument in zip(node.args, arguments, strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return written[0] if len(written) == 1 and isinstance(written[0], fx.Node) else None


def _twin(target: OpOverload) -> OpOverload | None:
    """The operator that gives what this one writes."""
    name = target.__name__.partition(".")[0].removesuffix("_")
    packet = getattr(torch.ops.aten, name, None)
    return getattr(packet, target._overloadname, None)


def _before(graph: fx.Graph, node: fx.Node) -> Iterator[fx.Node]:
    for other in graph.nodes:
        if other is node:
            return
        yield other


def _aliases(tensor: fx.Node, writer: fx.Node) -> bool:
    """Whether another tensor that is read after `writer` shares memory with this one."""
    order = {n: i for i, n in enumerate(writer.graph.nodes)}

    def is_view(node: fx.Node) -> bool:
        if node.op != "call_function":
            return False
        if node.target is operator.getitem:
            return True
        if not isinstance(node.target, OpOverload):
            return False
        returns = node.target._schema.returns
        return op_of(node).may_view or any(r.alias_info is not None for r in returns)

    base: fx.Node = tensor
    while is_view(base) and isinstance(base.args[0], fx.Node):
        base = base.args[0]
    family, stack = {base}, [base]
    while stack:
        for user in stack.pop().users:
            if user is not writer and user not in family and is_view(user):
                family.add(user)
                stack.append(user)
    if base.op == "placeholder" and base is not tensor:
        family.add(base)
    others = family - {tensor}
    return any(order[user] > order[writer] for other in others for user in other.users)
