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
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.nn.modules.module import register_module_forward_pre_hook

from tipsc.convert.fold import (
    compute_weights,
    drop_dead,
    drop_no_operations,
    fold_constants,
    split_parameters,
)
from tipsc.convert.functional import decomposed, make_functional
from tipsc.convert.given import Given
from tipsc.convert.program import Program, hint, is_of_torch, place_of, require_time
from tipsc.convert.rewrite import rewrite
from tipsc.elastic.looking import looking
from tipsc.errors import ConversionError, DataError, TipscError, first_line
from tipsc.tree import Tree, tree_of

_BATCH = 13  # of the exported example: a size that other axes hardly have


def capture(model: nn.Module, given: Given) -> Program:
    """The operations of `model` in eval mode.

    Raises:
        ConversionError: it cannot be traced, or not for any size of a batch.
    """
    begun = time.monotonic()
    _check_weights(dict(model.named_parameters()))
    with looking(model), _quiet(), _in_time(model, begun):
        exported = _export(model, given)
        _check_sizes(exported.graph)
        exported = decomposed(exported)
    program = _program(model, exported, given)
    program.begun = begun
    make_functional(program)
    drop_dead(program)  # what nothing reads is none of what follows
    split_parameters(program)
    compute_weights(program)
    rewrite(program)
    fold_constants(program)
    drop_no_operations(program)
    drop_dead(program)
    _check_weights(program.values)  # buffers too, as they are read
    return program


def _check_weights(weights: Mapping[str, Tensor]) -> None:
    for name, value in weights.items():
        if value.is_floating_point() and value.dtype != torch.float32:
            raise ConversionError(
                "only float32 weights are supported",
                where=name,
                got=str(value.dtype).removeprefix("torch."),
                fix="convert model.float(); a backend may use fewer bits later",
            )


def _export(model: nn.Module, given: Given) -> torch.export.ExportedProgram:
    # No value of it is read; it lies in memory as a batch does, which an expanded one does not.
    batch = [
        torch.empty(_sized(tensor.shape, axis), dtype=tensor.dtype, device=tensor.device)
        for tensor, axis in zip(given.tensors, given.batch_axes, strict=True)
    ]
    dynamic = [{} if axis is None else {axis: torch.export.Dim.AUTO} for axis in given.batch_axes]
    (args, named), (fixed, named_fixed) = given.arguments(batch), given.arguments(dynamic)
    try:
        with _only_tensors(model):
            return torch.export.export(
                model, args, named, dynamic_shapes=named_fixed or fixed, strict=False
            )
    except TipscError:
        raise
    except Exception as error:
        first = first_line(error, 300)
        values = "data-dependent" in str(error) or "GuardOnDataDependent" in type(error).__name__
        if not values and _runs_for_one_batch(model, given):
            raise ConversionError(
                "the forward pass works for one batch size only",
                where=_place(error, model),
                got=first,
                fix="use x.shape[0] or -1 in place of a constant",
            ) from error
        if values:
            raise ConversionError(
                "control flow depends on the values in a tensor",
                where=_place(error, model),
                fix="let it depend on shapes only: no .item(), no `if tensor:`, no part of a size "
                "that only the values tell",
            ) from error
        raise ConversionError(
            f"the forward pass cannot be traced: {first}",
            where=_place(error, model),
            fix="see what torch.export says of it",
        ) from error


def _check_sizes(graph: fx.Graph) -> None:
    """Refuses what gives as many values as the values in a tensor say, such as ``nonzero``."""
    for node in graph.nodes:
        if free_unbacked_symbols(node.meta.get("val")):
            raise ConversionError(
                "how much it gives depends on the values in a tensor",
                where=place_of(node),
                fix="leave it out of what is converted, and do it with the model's outputs",
            )


@contextlib.contextmanager
def _in_time(model: nn.Module, begun: float) -> Iterator[None]:
    """Inside, no layer of the model begins when the conversion has taken too long."""
    names = {id(module): name for name, module in model.named_modules()}

    def check(module: nn.Module, args: Any) -> None:
        if id(module) in names:
            require_time(begun, lambda: names[id(module)] or type(module).__name__)

    hook = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()


def _sized(shape: Sequence[int], axis: int | None) -> list[int]:
    return [_BATCH if place == axis else size for place, size in enumerate(shape)]


@contextlib.contextmanager
def _only_tensors(model: nn.Module) -> Iterator[None]:
    """Inside, the model gives the tensors of its outputs in a row, which torch can export."""

    def flattened(module: nn.Module, args: Any, outputs: Any) -> list[Any]:
        return outputs_of(outputs)[1]

    hook = model.register_forward_hook(flattened)
    try:
        yield
    finally:
        hook.remove()


def outputs_of(outputs: Any) -> tuple[Tree, list[Any]]:
    """The tree of what a model gives, and its tensors.

    Raises:
        ConversionError: it gives something else.
    """
    try:
        tree = tree_of(outputs, "the output")
    except DataError as error:
        raise ConversionError(
            error.what,
            where=error.where,
            expected=error.expected,
            got=error.got,
            fix="wrap the model so that it returns tensors only",
        ) from error
    return tree, tree.flat(outputs, "the output")


def _runs_for_one_batch(model: nn.Module, given: Given) -> bool:
    """Whether it can be traced if all its sizes are constants."""
    args, named = given.arguments(given.tensors)
    try:
        with _only_tensors(model):
            torch.export.export(model, args, named, strict=False)
    except Exception:
        return False
    return True


def _place(error: BaseException, model: nn.Module) -> str:
    """The innermost module that was running, and the innermost line that is not torch's."""
    found, line = type(model).__name__, ""
    trace = error.__traceback__
    names = {id(module): name for name, module in model.named_modules()}
    while trace is not None:
        frame = trace.tb_frame
        file = frame.f_code.co_filename
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and frame.f_code.co_name == "forward":
            name = names.get(id(owner))
            if name is not None:
                found = f"{name or type(model).__name__} ({type(owner).__name__}.forward"
        if "(" in found and not is_of_torch(file):
            line = f", {file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return f"{found}{line})" if "(" in found else found


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


def _program(model: nn.Module, exported: torch.export.ExportedProgram, given: Given) -> Program:
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
    outputs = next(n for n in graph.nodes if n.op == "output").args[0]
    results = [
        o
        for o, s in zip(outputs, signature.output_specs, strict=True)
        if s.kind.name == "USER_OUTPUT"
    ]
    where = f"the output of {type(model).__name__}"
    if not results or not all(isinstance(r, fx.Node) for r in results):
        raise ConversionError("holds what is no tensor", where=where, got=results)
    program = Program(graph, tuple(user), tuple(results), tensors, values)
    for node, axis in zip(user, given.batch_axes, strict=True):
        if axis is not None and not isinstance(node.meta["val"].shape[axis], torch.SymInt):
            raise _one_batch_only(model)
    _check_outputs(model, program, where)
    return program


def _check_outputs(model: nn.Module, program: Program, where: str) -> None:
    found = [node.meta["val"] for node in program.outputs]
    if not any(value.dtype.is_floating_point for value in found):
        raise ConversionError("the output is not of floating point", where=type(model).__name__)
    for value in found:
        axes = [size for size in value.shape if isinstance(size, torch.SymInt)]
        if not axes and len(value.shape) and value.shape[0] == _BATCH:
            raise _one_batch_only(model)
        if (not axes and len(found) == 1) or [hint(size) for size in axes] not in ([], [_BATCH]):
            raise ConversionError(
                "the output has no axis of the examples",
                where=where,
                got=tuple("N" if isinstance(s, torch.SymInt) else s for s in value.shape),
            )


def batch_axis_of(node: fx.Node) -> int | None:
    """The axis of the examples of a value."""
    shape = node.meta["val"].shape
    return next((axis for axis, size in enumerate(shape) if isinstance(size, torch.SymInt)), None)


def _one_batch_only(model: nn.Module) -> ConversionError:
    return ConversionError(
        "the forward pass works for one batch size only",
        where=type(model).__name__,
        fix="use x.shape[0] or -1 in place of a constant",
    )


def _tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
