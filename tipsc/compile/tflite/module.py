"""A path with its norms folded, as a torch module that the LiteRT converter takes.

The module computes the operations that :class:`tipsc.lower.plan.Planner` plans, so a path has the
same weights and biases here as in its portable graph: weights that all paths share, and bias
vectors of its own. Convolutions over time become convolutions over images one pixel high, which
is what TFLite has, so that no transposition is left between them.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import fx, nn

from tipsc.lower.plan import PlannedOperation, with_values

#: functions that compute each element for itself
_ELEMENTWISE = {
    operator.add, operator.sub, operator.mul, torch.add, torch.sub, torch.mul, torch.relu,
    torch.sigmoid, torch.tanh, nn.functional.relu, nn.functional.relu6, nn.functional.silu,
    nn.functional.hardswish, nn.functional.hardsigmoid, nn.functional.sigmoid,
}  # fmt: skip
_ELEMENTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.GELU,
    nn.Identity, nn.Dropout,
)  # fmt: skip


def folded_module(operations: Sequence[PlannedOperation], layout: str) -> fx.GraphModule:
    """A module in eval mode that computes `operations` on one input.

    Args:
        operations: of one path, in order; the last gives the output.
        layout: of the input, which is taken with its channels last: NCHW as (N, H, W, C).
    """
    graph, root = fx.Graph(), nn.Module()
    call = graph.call_function
    given = graph.placeholder("input")
    values, lifted = {"input": given}, set()
    if layout == "NCL":  # (N, L, C) -> (N, C, 1, L)
        values["input"] = call(torch.permute, (call(torch.unsqueeze, (given, 1)), (0, 3, 1, 2)))
        lifted.add("input")
    elif layout.startswith("NC") and len(layout) > 2:
        back = (0, len(layout) - 1, *range(1, len(layout) - 1))
        values["input"] = call(torch.permute, (given, back))
    for index, operation in enumerate(operations):
        module = with_values(operation)
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
    last = operations[-1].label
    graph.output(call(torch.squeeze, (values[last], 2)) if last in lifted else values[last])
    return fx.GraphModule(root, graph, class_name="Path").eval()


def digest_of(operations: Sequence[PlannedOperation]) -> str:
    """SHA-256 over everything that a path computes."""
    digest = hashlib.sha256()
    for operation in operations:
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
    target = getattr(module, "_target", None)
    if isinstance(target, Callable) and target in _ELEMENTWISE:  # type: ignore[arg-type]
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
