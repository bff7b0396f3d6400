"""A model as a list of operations, by torch.export.

torch.export rather than torch.fx: control flow over shapes is decided, modules, functions and
methods all become the same few hundred ATen operators with their arguments in order, the batch
axis is symbolic, so that what depends on it shows, and what depends on the values in a tensor is
refused. The layers' names are those of their parameters.
"""

from __future__ import annotations

import contextlib
import io
import logging
import operator
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from tipsc.elastic.looking import looking
from tipsc.errors import ConversionError, first_line

_BATCH = 13  # of the exported example: a size that other axes hardly have
_INPUT_TYPES = (torch.float32, torch.int64)
_NO_OPERATIONS = {"contiguous", "alias", "detach", "lift_fresh_copy", "detach_", "clone"}
_ASSERTIONS = {"_assert_scalar", "_assert_tensor_metadata", "_assert_async", "sym_constrain_range"}


@dataclass
class Program:
    """A model as operations.

    Attributes:
        graph: placeholders are the input and the tensors; the rest are ATen operators and
            arithmetic on sizes; no operation writes into a tensor of another one.
        input: the node of the input.
        output: the node that gives the output.
        tensors: node of each parameter, buffer or constant -> its name.
        values: the tensors by name.
        notes: what was seen on the way, (layer, remark).
    """

    graph: fx.Graph
    input: fx.Node
    output: fx.Node
    tensors: dict[fx.Node, str]
    values: dict[str, Tensor]
    notes: list[tuple[str, str]] = field(default_factory=list)

    def operations(self) -> Iterator[str]:
        """Each operation with its arguments, in order, as text that is the same in all processes.

        Two models with the same operations and the same :attr:`values` compute the same.
        """
        numbers: dict[fx.Node, str] = {}
        for node in self.graph.nodes:
            numbers[node] = f"%{len(numbers)}"
            arguments = fx.node.map_arg((node.args, node.kwargs), lambda n: numbers[n])
            named = "input" if node is self.input else self.tensors.get(node, "")
            target = node.target if node.op == "call_function" else ""
            yield f"{node.op} {target} {named} {arguments}"
        yield f"output {numbers[self.output]}"

    def nodes(self) -> list[fx.Node]:
        """All that computes, in order."""
        return [n for n in self.graph.nodes if n.op == "call_function"]


def name_of(node: fx.Node) -> str:
    """The operator's name without its overload: ``add`` for ``aten.add.Tensor``."""
    return str(getattr(node.target, "__name__", node.target)).partition(".")[0]


def scope_of(node: fx.Node) -> str:
    """The module in whose forward pass the node stands, "" for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    scopes = [path for path, _ in stack.values()]
    scope = scopes[-1] if scopes else ""
    return scope.partition("@")[0]


def capture(model: nn.Module, example: Tensor) -> Program:
    """The operations of `model` in eval mode.

    Raises:
        ConversionError: it cannot be traced, or not for any size of a batch.
    """
    check_example(example)
    _check_weights(model)
    with looking(model), _quiet():
        exported = _export(model, example)
    program = _program(model, exported)
    _make_functional(program)
    _fold_constants(program)
    _split_parameters(program)
    _drop_dead(program)
    return program


def check_example(example: Any) -> None:
    """Raises ConversionError unless it is one batch of signals or tokens."""
    if not isinstance(example, Tensor):
        raise ConversionError(
            "only models with one tensor as input are supported",
            where="example_inputs",
            expected="a tensor, or a tuple of one",
            got=type(example).__name__,
            fix="wrap the model so that its other inputs are fixed or taken from that tensor",
        )
    if example.dtype not in _INPUT_TYPES or not example.dim() or not len(example):
        raise ConversionError(
            "this example is no batch of signals or tokens",
            where="example_inputs",
            expected="float32 or int64 of shape (N, ...)",
            got=f"{str(example.dtype).removeprefix('torch.')} of shape {tuple(example.shape)}",
        )


def _check_weights(model: nn.Module) -> None:
    for name, value in _tensors_of(model).items():
        if value.is_floating_point() and value.dtype != torch.float32:
            raise ConversionError(
                "only float32 weights are supported",
                where=name,
                got=str(value.dtype).removeprefix("torch."),
                fix="convert model.float(); a backend may use fewer bits later",
            )


def _export(model: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    batch = example[:1].expand(_BATCH, *example.shape[1:])
    try:
        return torch.export.export(
            model, (batch,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False
        )
    except Exception as error:
        first = first_line(error, 300)
        values = "data-dependent" in str(error) or "GuardOnDataDependent" in type(error).__name__
        if not values and _runs_for_one_batch(model, example):
            raise ConversionError(
                "the forward pass works for one batch size only",
                where=_place(error, model),
                got=first,
                fix="use x.shape[0] or -1 in place of a constant",
            ) from error
        raise ConversionError(
            "control flow depends on the values in a tensor"
            if values
            else f"the forward pass cannot be traced: {first}",
            where=_place(error, model),
            got=first if values else None,
            fix="let control flow depend on shapes only"
            if values
            else "see what torch.export says of it",
        ) from error


def _runs_for_one_batch(model: nn.Module, example: Tensor) -> bool:
    """Whether it can be traced if all its sizes are constants."""
    try:
        torch.export.export(model, (example,), strict=False)
    except Exception:
        return False
    return True


def _place(error: BaseException, model: nn.Module) -> str:
    """The innermost line of the model's own code that was running, with its module."""
    found = type(model).__name__
    trace = error.__traceback__
    names = {id(module): name for name, module in model.named_modules()}
    while trace is not None:
        frame = trace.tb_frame
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and frame.f_code.co_name == "forward":
            name = names.get(id(owner))
            if name is not None:
                found = f"{name or type(model).__name__} ({type(owner).__name__}.forward, "
                found += f"line {trace.tb_lineno})"
        trace = trace.tb_next
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What torch.export prints of a model that it refuses stays away from the user.

    Also without the fused kernels of nn.MultiheadAttention, which hide its operations, and without
    a search for the best order of an einsum, which takes the batch of the example for a constant.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    ordered, torch.backends.opt_einsum.enabled = torch.backends.opt_einsum.enabled, False
    torch.backends.mha.set_fastpath_enabled(False)
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.ERROR))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.backends.opt_einsum.enabled = ordered


def _program(model: nn.Module, exported: torch.export.ExportedProgram) -> Program:
    signature = exported.graph_signature
    graph = exported.graph
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    constants = {**exported.constants, **exported.state_dict}
    own = _tensors_of(model)
    owners = {id(value): name for name, value in own.items()}
    tensors: dict[fx.Node, str] = {}
    values: dict[str, Tensor] = {}
    first: dict[str, fx.Node] = {}
    user: list[fx.Node] = []
    for node in graph.nodes:
        if node.op != "placeholder":
            continue
        if node.name not in names:
            user.append(node)
            continue
        name = names[node.name]
        value = own.get(name, constants.get(name))
        if not isinstance(value, Tensor):
            raise ConversionError("is no tensor", where=name)
        name = owners.get(id(value), name)
        if name in first:  # one tensor under two names
            node.replace_all_uses_with(first[name])
            continue
        first[name] = node
        tensors[node], values[name] = name, value
    (source,) = user
    outputs = next(n for n in graph.nodes if n.op == "output").args[0]
    flat = list(outputs) if isinstance(outputs, tuple | list) else [outputs]
    structure = str(exported.call_spec.out_spec)
    results = [
        o for o, s in zip(flat, signature.output_specs, strict=True) if s.kind.name == "USER_OUTPUT"
    ]
    if len(results) != 1 or structure != "*" or not isinstance(results[0], fx.Node):
        raise ConversionError(
            "only models that return one tensor are supported",
            where=f"the output of {type(model).__name__}",
            got=f"{len(results)} values in a {structure.partition('(')[2].partition(',')[0]}",
            fix="wrap the model so that it returns the tensor that counts",
        )
    shape = results[0].meta["val"].shape
    is_constant = len(shape) > 0 and shape[0] == _BATCH and isinstance(shape[0], int)
    if is_constant or not isinstance(source.meta["val"].shape[0], torch.SymInt):
        raise ConversionError(
            "the forward pass works for one batch size only",
            where=type(model).__name__,
            fix="use x.shape[0] or -1 in place of a constant",
        )
    result = results[0]
    if not len(shape) or not isinstance(shape[0], torch.SymInt) or hint(shape[0]) != _BATCH:
        raise ConversionError(
            "the output does not have the batch as its first axis",
            where=f"the output of {type(model).__name__}",
            got=tuple("N" if isinstance(s, torch.SymInt) else s for s in shape),
        )
    if not result.meta["val"].dtype.is_floating_point:
        raise ConversionError("the output is not of floating point", where=type(model).__name__)
    return Program(graph, source, result, tensors, values)


def _tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def hint(size: Any) -> int:
    """A size of the exported example, symbolic or not."""
    return int(size.node.hint) if isinstance(size, torch.SymInt) else int(size)


def _make_functional(program: Program) -> None:
    """Operations that write into their input become operations that give a new tensor."""
    graph = program.graph
    for node in list(graph.nodes):
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        name = name_of(node)
        schema = node.target._schema
        if name in _ASSERTIONS:
            graph.erase_node(node)
            continue
        if not schema.is_mutable:
            continue
        written = [
            a for a, f in zip(node.args, schema.arguments, strict=False)
            if f.alias_info is not None and f.alias_info.is_write
        ]  # fmt: skip
        target = written[0] if len(written) == 1 else None
        if target in program.tensors:
            raise ConversionError(
                "the forward pass changes a buffer",
                where=f"{program.tensors[target]}, by {name}",
                fix="change it in training only: `if self.training:`",
            )
        packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
        overload = getattr(packet, node.target._overloadname, None)
        if not isinstance(target, fx.Node) or overload is None or _aliases(target, node):
            raise ConversionError(
                f"{name} changes a part of a tensor, or one that others read",
                where=scope_of(node) or "the model's own forward",
                fix="compute a new tensor, for example with torch.where or torch.cat",
            )
        old = set(_before(graph, node))
        node.target = overload
        keep = (*old, node)
        for user in [u for u in target.users if u not in keep]:
            user.replace_input_with(target, node)
        if program.output is target:
            program.output = node
    for node in list(graph.nodes):
        if node.op == "call_function" and name_of(node) in ("reshape_as", "view_as"):
            shape = node.meta["val"].shape
            if sum(isinstance(size, torch.SymInt) for size in shape) <= 1:
                node.target = torch.ops.aten.reshape.default
                sizes = [-1 if isinstance(size, torch.SymInt) else int(size) for size in shape]
                node.args = (node.args[0], sizes)
        if node.op == "call_function" and name_of(node) in _NO_OPERATIONS:
            if node is program.output:
                program.output = node.all_input_nodes[0]
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


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
        if not isinstance(node.target, torch._ops.OpOverload):
            return False
        schema = node.target._schema
        maybe = name_of(node) in ("reshape", "contiguous", "flatten", "to", "chunk", "unflatten",
                                  "split", "tensor_split", "unbind", "expand_as", "view_as",
                                  "dropout", "feature_dropout", "squeeze", "narrow")  # fmt: skip
        return maybe or any(r.alias_info is not None for r in schema.returns)

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


def _fold_constants(program: Program) -> None:
    """What is computed from nothing but numbers (a mask, positions) becomes a tensor."""
    known: dict[fx.Node, Any] = {}
    for node in program.nodes():
        if not isinstance(node.target, torch._ops.OpOverload | type(operator.getitem)):
            continue
        if any(source not in known for source in node.all_input_nodes):
            continue
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise ConversionError(
                f"the output depends on chance: {name_of(node)}",
                where=scope_of(node) or "the model",
            )
        args, named = fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
        with torch.no_grad():
            known[node] = cast(Any, node.target)(*args, **named)
    for node, value in known.items():
        if not isinstance(value, Tensor) or all(user in known for user in node.users):
            continue
        base = ".".join(filter(None, (scope_of(node), name_of(node))))
        name, count = base, 2
        while name in program.values:
            name, count = f"{base}_{count}", count + 1
        with program.graph.inserting_before(next(iter(program.graph.nodes))):
            placeholder = program.graph.placeholder(name.replace(".", "_"))
        placeholder.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(placeholder)
        program.tensors[placeholder], program.values[name] = name, value.clone()


def _split_parameters(program: Program) -> None:
    """A parameter that is only read in pieces becomes a parameter for each piece."""
    graph = program.graph
    for node, name in list(program.tensors.items()):
        users = list(node.users)
        if len(users) != 1 or name_of(users[0]) not in ("chunk", "split", "split_with_sizes"):
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


def _drop_dead(program: Program) -> None:
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
