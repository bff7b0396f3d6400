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
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from tipsc.convert.fold import (
    compute_weights,
    drop_dead,
    drop_no_operations,
    fold_constants,
    split_parameters,
)
from tipsc.convert.functional import decomposed, make_functional
from tipsc.convert.program import Program, hint, is_of_torch
from tipsc.convert.rewrite import rewrite
from tipsc.elastic.looking import looking
from tipsc.errors import ConversionError, first_line

_BATCH = 13  # of the exported example: a size that other axes hardly have
_INPUT_TYPES = (torch.float32, torch.int64)


def capture(model: nn.Module, example: Tensor) -> Program:
    """The operations of `model` in eval mode.

    Raises:
        ConversionError: it cannot be traced, or not for any size of a batch.
    """
    check_example(example)
    _check_weights(model)
    with looking(model), _quiet():
        exported = _export(model, example)
        exported = decomposed(exported)
    program = _program(model, exported)
    make_functional(program)
    drop_dead(program)  # what nothing reads is none of what follows
    split_parameters(program)
    compute_weights(program)
    rewrite(program)
    fold_constants(program)
    drop_no_operations(program)
    drop_dead(program)
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
    # No value of it is read; it lies in memory as a batch does, which an expanded one does not.
    batch = torch.empty((_BATCH, *example.shape[1:]), dtype=example.dtype, device=example.device)
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
    is_constant = len(shape) > 0 and isinstance(shape[0], int) and shape[0] == _BATCH
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
