"""A path with its norms folded, as a torch module that the LiteRT converter takes.

The module computes the operations that :class:`tipsc.lower.plan.Planner` plans, so a path has the
same weights and biases here as in its portable graph: weights that all paths share, and bias
vectors of its own. Convolutions over time become convolutions over images one pixel high, which
is what TFLite has, so that no transposition is left between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from typing import Any, cast

import numpy as np
import torch
from torch import fx, nn

from tipsc.elastic.trace import input_labels
from tipsc.lower.divisions import Rescaled
from tipsc.lower.operations import PlannedOperation, PlannedPath, with_values
from tipsc.signature import TensorSpec

#: functions that compute each element for itself, by name: those of torch and of aten alike
_ELEMENTWISE = frozenset((
    "add", "sub", "rsub", "mul", "relu", "relu6", "hardtanh", "sigmoid", "tanh", "silu",
    "hardswish", "hardsigmoid", "gelu", "leaky_relu", "elu", "clone",
))  # fmt: skip
_SUBTRACTIONS = ("sub", "subtract", "rsub")
_ELEMENTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.GELU,
    nn.Identity, nn.Dropout, Rescaled,
)  # fmt: skip


def computed(path: PlannedPath) -> list[PlannedOperation]:
    """The operations that the outputs come from, in order.

    What puts them into the model's own form, a named tuple for example, is none of those.
    """
    needed, found = set(path.outputs), []
    for operation in reversed(path.operations):
        if operation.label in needed:
            needed.update(operation.inputs)
            found.append(operation)
    return found[::-1]


def folded_module(path: PlannedPath, inputs: Sequence[TensorSpec]) -> fx.GraphModule:
    """A module in eval mode that computes a path.

    Args:
        inputs: of the model; they are taken with their channels last, NCHW as (N, H, W, C), and
            int64 as int32.

    Returns:
        What takes the inputs one after the other, and gives the outputs: one alone, or a tuple.
    """
    graph, root = fx.Graph(), nn.Module()
    call = graph.call_function
    values: dict[str, fx.Node] = {}
    lifted: set[str] = set()
    for place, (label, spec) in enumerate(zip(input_labels(inputs), inputs, strict=True)):
        given = graph.placeholder("input" if len(inputs) == 1 else f"input{place}")
        if spec.dtype == "int64":  # the converter would narrow some of them by itself
            given = graph.call_method("long", (given,))
        values[label] = given
        if spec.layout == "NCL":  # (N, L, C) -> (N, C, 1, L)
            values[label] = call(torch.permute, (call(torch.unsqueeze, (given, 1)), (0, 3, 1, 2)))
            lifted.add(label)
        elif spec.layout.startswith("NC") and len(spec.layout) > 2:
            back = (0, len(spec.layout) - 1, *range(1, len(spec.layout) - 1))
            values[label] = call(torch.permute, (given, back))
    constants: set[str] = set()
    for operation in path.operations:  # what is computed of constants alone is one
        if constants.issuperset(operation.inputs):
            constants.add(operation.label)
    for index, operation in enumerate(computed(path)):
        if isinstance(operation.module, Rescaled):
            module: nn.Module = _by_channel(operation.module, operation.shape)
        else:
            module = _constant_last(with_values(operation), operation.inputs, constants)
        over_image = None
        if operation.inputs and lifted.issuperset(operation.inputs):
            over_image = _over_image(module)
        if over_image is not None:
            module = over_image
            lifted.add(operation.label)
        arguments = tuple(
            call(torch.squeeze, (values[name], 2))
            if name in lifted and over_image is None
            else values[name]
            for name in operation.inputs
        )
        name = f"operation{index}"
        root.add_module(name, module)
        values[operation.label] = graph.call_module(name, arguments)
    results = [
        call(torch.squeeze, (values[label], 2)) if label in lifted else values[label]
        for label in path.outputs
    ]
    graph.output(results[0] if len(results) == 1 else tuple(results))
    return fx.GraphModule(root, graph, class_name="Path").eval()


def digest_of(path: PlannedPath) -> str:
    """SHA-256 over everything that a path computes."""
    digest = hashlib.sha256(repr(path.outputs).encode())
    for operation in path.operations:
        module = operation.module
        digest.update(
            f"{operation.label} {operation.inputs} {operation.shape} {operation.item} "
            f"{module!r} {function_of(module)};".encode()
        )
        for name, weight in sorted(operation.weights.items()):
            value = np.ascontiguousarray(weight.value)
            digest.update(f"{name} {value.dtype} {value.shape};".encode())
            digest.update(value.tobytes())
    return digest.hexdigest()


def function_of(module: nn.Module) -> str:
    """What a module that stands for a function of torch calls, and with what; else ''."""
    target = getattr(module, "_target", None)
    if target is None:
        return ""
    name = target if isinstance(target, str) else target.__name__
    arguments = getattr(module, "_arguments", ()), getattr(module, "_named", {})
    return f"{name}{arguments!r}"


def _constant_last(module: nn.Module, inputs: Sequence[str], constants: Set[str]) -> nn.Module:
    """The same for what subtracts from a constant, in a form that the converter gets right.

    Where a transposition is moved through it, behind a convolution, the converter turns ``c - x``
    into ``x - c``; ``-x + c`` it leaves alone.
    """
    name, arguments = getattr(module, "name", ""), getattr(module, "_arguments", ())
    if name not in _SUBTRACTIONS or len(arguments) != 2 or getattr(module, "_named", {}):
        return module
    whole, part = tuple(arguments)[::-1] if name == "rsub" else arguments
    tensors = iter(inputs)  # as many as there are slots, in order
    labels = [None if isinstance(a, int | float) else next(tensors) for a in arguments]
    first, second = labels[::-1] if name == "rsub" else labels
    if second is not None and (first is None or first in constants):
        vars(module).update(_target=_less, _arguments=(whole, part), _is_method=False)
    return module


def _less(whole: torch.Tensor | float, part: torch.Tensor) -> torch.Tensor:
    return torch.neg(part) + whole


def _by_channel(module: Rescaled, shape: Sequence[int]) -> nn.Module:
    """A division of maps as a convolution of each channel with a number.

    The converter folds a product into the weights of a convolution beside it, which would be each
    path's own then.
    """
    if len(shape) not in (3, 4):
        return module
    layer = (nn.Conv1d if len(shape) == 3 else nn.Conv2d)(
        shape[1], shape[1], 1, groups=shape[1], bias=False, device="meta"
    )
    value = torch.full(layer.weight.shape, 1 / module.divisor)
    layer.weight = nn.Parameter(value, requires_grad=False)
    return layer.eval()


def _over_image(module: nn.Module) -> nn.Module | None:
    """The module that does to (N, C, 1, L) what `module` does to (N, C, L); None: unknown."""
    if isinstance(module, nn.Conv1d):
        return _convolution(module)
    if isinstance(module, nn.BatchNorm1d):
        norm = nn.BatchNorm2d(module.num_features, module.eps, affine=module.affine)
        norm.load_state_dict(module.state_dict())
        return norm.eval()
    if isinstance(module, nn.AdaptiveAvgPool1d):
        size = module.output_size
        return nn.AdaptiveAvgPool2d((1, size if isinstance(size, int) else cast(Any, size)[0]))
    if isinstance(module, _ELEMENTWISE_MODULES):
        return module
    if getattr(module, "name", "") in _ELEMENTWISE:
        return module
    return None


def _convolution(module: nn.Conv1d) -> nn.Module | None:
    padding: Any = module.padding
    if module.padding_mode != "zeros" or isinstance(padding, str):
        return None
    over_image = nn.Conv2d(
        module.in_channels,
        module.out_channels,
        (1, module.kernel_size[0]),
        stride=(1, module.stride[0]),
        padding=(0, padding[0]),
        dilation=(1, module.dilation[0]),
        groups=module.groups,
        bias=module.bias is not None,
        device="meta",
    )
    over_image.weight = nn.Parameter(module.weight.unsqueeze(2), requires_grad=False)
    over_image.bias = module.bias
    return over_image.eval()
