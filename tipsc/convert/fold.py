"""What a program computes of numbers alone, or of weights alone, is computed once."""

from __future__ import annotations

import hashlib
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
        if _draws(node):
            raise ConversionError(
                f"the output depends on chance: {name_of(node)}",
                where=place_of(node),
                fix="draw numbers in training only: `if self.training:`",
            )
        known[node] = _computed(node, known)
    for node, value in known.items():
        read = node in program.outputs or any(user not in known for user in node.users)
        if not isinstance(value, Tensor) or not read:
            continue
        name = ".".join(filter(None, (scope_of(node), name_of(node))))
        program.replace(node, program.add_tensor(name, value.clone(), node))


def _draws(node: fx.Node) -> bool:
    """Whether an operation draws numbers; dropout does so in training only."""
    if op_of(node).role is Role.DROPOUT and not bound(node)["train"]:
        return False
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def drop_no_operations(program: Program) -> None:
    """Copies and changes of the layout in memory, which no result depends on."""
    for node in program.nodes():
        if op_of(node).role is Role.COPY:
            source = node.all_input_nodes[0]
            program.replace(node, source)
            program.graph.erase_node(node)


def compute_weights(program: Program) -> None:
    """A layer's weight that is computed of parameters alone becomes a parameter.

    So for weight norm, spectral norm, pruning, standardised weights. What is trained afterwards is
    that weight, not what it was made of. A layer that is called twice has it once.
    """
    written = _Expressions(program)
    alike: dict[str, list[tuple[fx.Node, str, fx.Node]]] = {}
    for layer in program.nodes():
        if op_of(layer).role not in _WITH_WEIGHTS:
            continue
        args = bound(layer)
        for key in ("weight", "bias"):
            made = args.get(key)
            if isinstance(made, fx.Node) and made not in program.tensors:
                alike.setdefault(written.of(made), []).append((layer, key, made))
    for uses in alike.values():
        layer, key, _ = uses[0]
        _compute(program, layer, key, [made for _, _, made in uses])


def _compute(program: Program, layer: fx.Node, key: str, made: list[fx.Node]) -> None:
    """Puts one parameter in the place of these operations, which compute the same."""
    nodes, tensors = _made_of(program, made)
    if not tensors <= set(program.tensors):
        return
    if any(u not in nodes for n in {*nodes, *tensors} - {*made} for u in n.users):
        return  # also read as it is, such as the table that embeds and decodes
    known: dict[fx.Node, Any] = {n: program.values[program.tensors[n]].detach() for n in tensors}
    for node in program.nodes():
        if node in nodes:
            known[node] = _computed(node, known)
    value = known[made[0]].clone()
    parts = {name: program.values[name] for n, name in program.tensors.items() if n in tensors}
    learned = {name: part for name, part in parts.items() if isinstance(part, nn.Parameter)}
    if learned:
        trained = any(part.requires_grad for part in learned.values())
        value = nn.Parameter(value, trained)
    source = next((name for name, part in learned.items() if part.shape == value.shape), None)
    scope = scope_of(layer)
    if source is not None:
        scope = source.partition(".parametrizations.")[0].rpartition(".")[0]
    wanted = f"{scope}.{key}" if scope else key
    if wanted in parts:  # it makes room
        (old,) = (n for n, name in program.tensors.items() if name == wanted)
        del program.values[program.tensors.pop(old)]
    node = program.add_tensor(wanted, value, layer)
    if source is not None:
        program.sources[program.tensors[node]] = source
    for other in made:
        other.replace_all_uses_with(node)


class _Expressions:
    """What nodes compute, as text that is equal if they compute the same of the same tensors."""

    def __init__(self, program: Program) -> None:
        self._written: dict[fx.Node, str] = dict(program.tensors)
        for node in program.nodes():
            read = fx.node.map_arg((node.args, node.kwargs), self.of)
            text = f"{node.target}{read}"
            self._written[node] = hashlib.sha256(text.encode()).hexdigest()

    def of(self, node: fx.Node) -> str:
        return self._written.get(node, node.name)


def _made_of(program: Program, ends: list[fx.Node]) -> tuple[set[fx.Node], set[fx.Node]]:
    """The operations behind some, they too, and the placeholders that they read."""
    nodes, placeholders, stack = set[fx.Node](), set[fx.Node](), list(ends)
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
    stack = list(program.outputs)
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack += node.all_input_nodes
    if needed.isdisjoint(program.inputs):
        raise ConversionError("the output does not depend on the input", where="the model")
    unread = [node.name for node in program.inputs if node not in needed]
    if unread:
        raise ConversionError(
            "no output depends on this input",
            where=", ".join(unread),
            fix="leave it out of example_inputs; wrap the model if it cannot be left out",
        )
    for node in reversed(list(program.graph.nodes)):
        if node.op == "output":
            program.graph.erase_node(node)
        elif node not in needed:
            program.graph.erase_node(node)
            if node in program.tensors:
                del program.values[program.tensors.pop(node)]
