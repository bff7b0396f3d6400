"""No operation writes into a tensor that another one made."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import fx
from torch._ops import HigherOrderOperator, OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind

from tipsc.convert.ops import Role, op_of
from tipsc.convert.program import Program, name_of, place_of
from tipsc.errors import ConversionError

aten = torch.ops.aten


def decomposed(exported: ExportedProgram) -> ExportedProgram:
    """The program without regions (no_grad, autocast) and writes into a part of a tensor.

    torch does that, but it runs the whole program anew, which takes as long as the export. It is
    asked only where more is written than slices that nobody else sees.

    Raises:
        ConversionError: the forward pass changes a buffer.
    """
    nodes = [node for node in exported.graph.nodes if node.op == "call_function"]
    regions = any(isinstance(node.target, HigherOrderOperator) for node in nodes)
    if not regions and all(_is_simple(node) or _slices_written(node) for node in nodes):
        for node in nodes:
            if not _is_simple(node):
                _scatter(node, _slices_written(node))
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


_SCATTER: Mapping[object, OpOverload] = {
    aten.slice.Tensor: aten.slice_scatter.default,
    aten.select.int: aten.select_scatter.default,
}


def _slices_written(node: fx.Node) -> list[fx.Node]:
    """The slices of slices of one tensor, the innermost first, that an operation writes into.

    None if there are others behind which it could be seen: it would have to be written there too.
    """
    written = _written(node) if isinstance(node.target, OpOverload) else None
    if written is None or _twin(node.target) is None:  # type: ignore[arg-type]
        return []
    slices, base = list[fx.Node](), written
    while base.target in _SCATTER:
        slices.append(base)
        base = cast(fx.Node, base.args[0])
    if not slices or base.op == "placeholder" or _is_view(base):
        return []
    order = {n: i for i, n in enumerate(node.graph.nodes)}
    before = {view for view in _views(base) if order[view] < order[node]} - {written}
    seen = any(order[user] > order[node] for view in before for user in view.users)
    return [] if seen else slices


def _scatter(node: fx.Node, slices: list[fx.Node]) -> None:
    """A new tensor in the place of one that an operation writes slices of."""
    base, graph = cast(fx.Node, slices[-1].args[0]), node.graph
    keep, place = {*_before(graph, node), node}, node
    made: list[tuple[Any, Any, Any, Any]] = [
        (_twin(node.target), node.args, node.kwargs, slices[0]),  # type: ignore[arg-type]
        *((_SCATTER[view.target], view.args, view.kwargs, view.args[0]) for view in slices),
    ]
    results: list[fx.Node] = []
    for target, args, named, like in made:
        with graph.inserting_after(place):
            read = (args[0], results[-1], *args[1:]) if results else args
            place = graph.call_function(target, read, named)
        place.meta = {key: value for key, value in node.meta.items() if key != "val"}
        place.meta["val"] = like.meta["val"]
        results.append(place)
        keep.add(place)
    for old, new in ((node, results[0]), (slices[0], results[0]), (base, results[-1])):
        for user in [u for u in old.users if u not in keep]:
            user.replace_input_with(old, new)
    graph.erase_node(node)


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

    base: fx.Node = tensor
    while _is_view(base) and isinstance(base.args[0], fx.Node):
        base = base.args[0]
    family = {base, *_views(base, but=writer)}
    if base.op == "placeholder" and base is not tensor:
        family.add(base)
    others = family - {tensor}
    return any(order[user] > order[writer] for other in others for user in other.users)


def _is_view(node: fx.Node) -> bool:
    """Whether it may share memory with what it reads."""
    if node.op != "call_function":
        return False
    if node.target is operator.getitem:
        return True
    if not isinstance(node.target, OpOverload):
        return False
    returns = node.target._schema.returns
    return op_of(node).may_view or any(r.alias_info is not None for r in returns)


def _views(base: fx.Node, but: fx.Node | None = None) -> set[fx.Node]:
    """All that may share memory with a tensor because it was made of it."""
    family, stack = set[fx.Node](), [base]
    while stack:
        for user in stack.pop().users:
            if user is not but and user not in family and _is_view(user):
                family.add(user)
                stack.append(user)
    return family
