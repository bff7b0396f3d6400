"""What a program computes of numbers alone, or of weights alone, is computed once."""

from __future__ import annotations

import operator
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from tipsc.convert.ops import Role, op_of
from tipsc.convert.program import Program, bound, name_of, place_of, scope_of
from tipsc.errors import ConversionError, first_line

_WITH_WEIGHTS = (Role.LAYER, Role.LOOKUP, Role.NORM)


def fold_constants(program: Program) -> None:
    """What is computed from nothing but numbers (a mask, positions) becomes a tensor.

    Raises:
        ConversionError: it is drawn by chance.
    """
    known: dict[fx.Node, Any] = {}
    for node in program.nodes():
        if not isinstance(node.target, torch._ops.OpOverload | type(operator.getitem)):
            continue
        if any(source not in known for source in node.all_input_nodes):
            continue
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise ConversionError(
                f"the output depends on chance: {name_of(node)}",
                where=place_of(node),
                fix="draw numbers in training only: `if self.training:`",
            )
        known[node] = _computed(node, known)
    for node, value in known.items():
        if not isinstance(value, Tensor) or all(user in known for user in node.users):
            continue
        name = ".".join(filter(None, (scope_of(node), name_of(node))))
        node.replace_all_uses_with(program.add_tensor(name, value.clone(), node))


def drop_no_operations(program: Program) -> None:
    """Copies and changes of the layout in memory, which no result depends on."""
    for node in program.nodes():
        if op_of(node).role is Role.COPY:
            source = node.all_input_nodes[0]
            if node is program.output:
                program.output = source
            node.replace_all_uses_with(source)
            program.graph.erase_node(node)


def compute_weights(program: Program) -> None:
    """A layer's weight that is computed of parameters alone becomes a parameter.

    So for weight norm, spectral norm, pruning, standardised weights. What is trained afterwards is
    that weight, not what it was made of.
    """
    for layer in program.nodes():
        if op_of(layer).role not in _WITH_WEIGHTS:
            continue
        args = bound(layer)
        for key in ("weight", "bias"):
            made = args.get(key)
            if isinstance(made, fx.Node) and made not in program.tensors:
                _compute(program, layer, key, made)


def _compute(program: Program, layer: fx.Node, key: str, made: fx.Node) -> None:
    nodes, tensors = _made_of(program, made)
    if program.input in tensors or not tensors <= set(program.tensors):
        return
    if any(u not in nodes for n in {*nodes, *tensors} - {made} for u in n.users):
        return  # also read as it is, such as the table that embeds and decodes
    known: dict[fx.Node, Any] = {n: program.values[program.tensors[n]].detach() for n in tensors}
    for node in program.nodes():
        if node in nodes:
            known[node] = _computed(node, known)
    value = known[made].clone()
    learned = [n for n in tensors if isinstance(program.values[program.tensors[n]], nn.Parameter)]
    if learned:
        trained = any(program.values[program.tensors[n]].requires_grad for n in learned)
        value = nn.Parameter(value, trained)
    alike = [program.tensors[n] for n in learned if n.meta["val"].shape == value.shape]
    scope = scope_of(layer)
    wanted = f"{scope}.{key}" if scope else key
    for tensor in alike[:1]:
        owner = tensor.partition(".parametrizations.")[0].rpartition(".")[0]
        wanted = f"{owner}.{key}" if owner else key
        if tensor == wanted:  # it makes room
            (old,) = (n for n in learned if program.tensors[n] == tensor)
            del program.values[program.tensors.pop(old)]
    node = program.add_tensor(wanted, value, layer)
    if alike:
        program.sources[program.tensors[node]] = alike[0]
    made.replace_all_uses_with(node)


def _made_of(program: Program, node: fx.Node) -> tuple[set[fx.Node], set[fx.Node]]:
    """The operations behind a node, itself too, and the placeholders that they read."""
    nodes, placeholders, stack = set[fx.Node](), set[fx.Node](), [node]
    while stack:
        found = stack.pop()
        if found.op == "placeholder":
            placeholders.add(found)
        elif found not in nodes:
            nodes.add(found)
            stack += found.all_input_nodes
    return nodes, placeholders


def _computed(node: fx.Node, known: dict[fx.Node, Any]) -> Any:
    args, named = fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
    try:
        with torch.no_grad():
            return cast(Any, node.target)(*args, **named)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ConversionError(
            "what it computes of constants cannot be computed beforehand",
            where=place_of(node),
            got=first_line(error),
            fix="compute it in __init__ and register it as a buffer",
        ) from error


def split_parameters(program: Program) -> None:
    """A parameter that is only read in pieces becomes a parameter for each piece."""
    graph = program.graph
    for node, name in list(program.tensors.items()):
        users = list(node.users)
        if len(users) != 1 or op_of(users[0]).role is not Role.SPLIT:
            continue
        axis = users[0].args[2] if len(users[0].args) > 2 else users[0].kwargs.get("dim", 0)
        items = [u for u in users[0].users if u.target is operator.getitem]
        if axis != 0 or len(items) != len(users[0].users):
            continue
        start = 0
        value = program.values[name]
        for index, piece in enumerate(users[0].meta["val"]):
            part = value.detach()[start : start + len(piece)].clone()
            start += len(piece)
            own = f"{name}_{index}"
            program.values[own] = (
                nn.Parameter(part, value.requires_grad) if isinstance(value, nn.Parameter) else part
            )
            with graph.inserting_before(node):
                placeholder = graph.placeholder(own.replace(".", "_"))
            placeholder.meta["val"] = piece
            program.tensors[placeholder] = own
            for item in items:
                if item.args[1] == index:
                    item.replace_all_uses_with(placeholder)
                    graph.erase_node(item)
        graph.erase_node(users[0])
        del program.tensors[node], program.values[name]


def drop_dead(program: Program) -> None:
    needed: set[fx.Node] = set()
    stack = [program.output]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack += node.all_input_nodes
    if program.input not in needed:
        raise ConversionError("the output does not depend on the input", where="the model")
    for node in reversed(list(program.graph.nodes)):
        if node.op == "output":
            program.graph.erase_node(node)
        elif node not in needed:
            program.graph.erase_node(node)
            if node in program.tensors:
                del program.values[program.tensors.pop(node)]
