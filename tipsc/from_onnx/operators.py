"""Operators without weights: value by value, along axes, and of shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.from_onnx.values import (
    Node,
    NotReadable,
    Value,
    axes_of,
    is_known,
    number,
    numbers,
    sizes,
    tensor,
)


def _type(number_of_type: int) -> torch.dtype:
    from onnx.helper import tensor_dtype_to_np_dtype

    name = str(tensor_dtype_to_np_dtype(number_of_type))
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise NotReadable(f"values of type {name}")
    return found


# ---- value by value


def _unary(function: Callable[..., Tensor], **defaults: Any) -> Callable[..., Tensor]:
    """A function of one tensor, which takes these attributes by their names."""

    def apply(node: Node, x: Value) -> Tensor:
        return function(tensor(x), **{key: node.get(key, defaults[key]) for key in defaults})

    return apply


def _binary(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda node, *parts: functools.reduce(function, map(tensor, parts))


def _divide(node: Node, a: Value, b: Value) -> Tensor:
    a, b = tensor(a), tensor(b)
    whole = not a.is_floating_point() and not b.is_floating_point()
    return torch.div(a, b, rounding_mode="trunc" if whole else None)


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(x * alpha + beta, 0, 1)


def _clip(node: Node, x: Value, low: Value = None, high: Value = None) -> Tensor:
    least = node.get("min") if low is None else number(low, "a limit")
    most = node.get("max") if high is None else number(high, "a limit")
    if (least, most) == (0, 6):
        return F.relu6(tensor(x))
    return torch.clamp(tensor(x), least, most)


def _prelu(node: Node, x: Value, slope: Value) -> Tensor:
    x, slope = tensor(x), tensor(slope)
    if slope.numel() == slope.shape[0]:
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, x * slope, x)


def _power(node: Node, x: Value, exponent: Value) -> Tensor:
    known = is_known(exponent) and exponent.size == 1
    return torch.pow(tensor(x), number(exponent, "it") if known else tensor(exponent))


def _where(node: Node, chosen: Value, a: Value, b: Value) -> Tensor:
    return torch.where(tensor(chosen), tensor(a), tensor(b))


# ---- along axes


def _softmax(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def apply(node: Node, x: Value) -> Tensor:
        x = tensor(x)
        if node.version >= 13:
            return function(x, node.get("axis", -1))
        axis = node.get("axis", 1) % x.dim()
        if axis == x.dim() - 1:
            return function(x, axis)
        return function(x.flatten(axis), axis).reshape(x.shape)  # over all that follows

    return apply


def _reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def apply(node: Node, x: Value, axes: Value = None) -> Tensor:
        x, found = tensor(x), axes_of(node, axes)
        if not found:
            if node.get("noop_with_empty_axes", 0):
                return x
            found = list(range(x.dim()))
        return function(x, found, keepdim=bool(node.get("keepdims", 1)))

    return apply


def _norm(order: int) -> Callable[..., Tensor]:
    return lambda x, axes, keepdim: torch.linalg.vector_norm(x, order, axes, keepdim)


def _place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def apply(node: Node, x: Value) -> Tensor:
        if node.get("select_last_index", 0):
            raise NotReadable("the last of several")
        return function(tensor(x), node.get("axis", 0), bool(node.get("keepdims", 1)))

    return apply


def _cumulative(node: Node, x: Value, axis: Value) -> Tensor:
    if node.get("exclusive", 0) or node.get("reverse", 0):
        raise NotReadable("a sum from the end, or without the place itself")
    return torch.cumsum(tensor(x), int(number(axis, "an axis")))


# ---- of shapes


def _reshape(node: Node, x: Value, shape: Value) -> Tensor:
    x, wanted = tensor(x), numbers(shape, "a shape")
    for place, size in enumerate(wanted):
        if isinstance(size, int) and size == 0 and not node.get("allowzero", 0):
            wanted[place] = x.shape[place]
    if node.one_example and wanted and isinstance(wanted[0], int) and wanted[0] == 1:
        wanted[0] = x.shape[0]
    return torch.reshape(x, wanted)


def _expand(node: Node, x: Value, shape: Value) -> Tensor:
    x, wanted = tensor(x), numbers(shape, "a shape")
    rank = max(x.dim(), len(wanted))
    own, other = [1] * (rank - x.dim()) + list(x.shape), [1] * (rank - len(wanted)) + wanted
    same = [isinstance(size, int) and size == 1 for size in other]
    return x.expand([a if one else b for a, b, one in zip(own, other, same, strict=True)])


def _flatten(node: Node, x: Value) -> Tensor:
    x, axis = tensor(x), node.get("axis", 1)
    axis = axis % (x.dim() + 1) if axis >= 0 else axis % x.dim()
    if axis == 1:
        return torch.flatten(x, 1)
    raise NotReadable(f"a flattening from axis {axis} on")


def _squeeze(node: Node, x: Value, axes: Value = None) -> Tensor:
    found = axes_of(node, axes)
    return torch.squeeze(tensor(x)) if found is None else torch.squeeze(tensor(x), found)


def _unsqueeze(node: Node, x: Value, axes: Value = None) -> Tensor:
    x, found = tensor(x), axes_of(node, axes) or []
    rank = x.dim() + len(found)
    for axis in sorted(axis % rank for axis in found):
        x = torch.unsqueeze(x, axis)
    return x


def _slice(node: Node, x: Value, *rest: Value) -> Tensor:
    x = tensor(x)
    starts, ends, axes, steps = (
        node.get(key) if value is None else numbers(value, "a border of a slice")
        for key, value in zip(
            ("starts", "ends", "axes", "steps"), (*rest, None, None, None, None), strict=False
        )
    )
    for place, start in enumerate(starts):
        axis = axes[place] if axes else place
        step = steps[place] if steps else 1
        if step < 0:
            if step != -1 or start not in (-1, int(x.shape[axis]) - 1):
                raise NotReadable("a part backwards")
            x = torch.flip(x, [axis])
            continue
        x = torch.ops.aten.slice.Tensor(x, axis, start, ends[place], step)
    return x


def _split(node: Node, x: Value, parts: Value = None) -> tuple[Tensor, ...]:
    x, axis = tensor(x), node.get("axis", 0)
    wanted = node.get("split") if parts is None else numbers(parts, "a split")
    if wanted is None:
        count = len(node.outputs)
        return torch.split(x, -(-int(x.shape[axis]) // count), axis)
    return torch.split(x, list(wanted), axis)


def _gather(node: Node, x: Value, index: Value) -> Tensor:
    x, axis = tensor(x), node.get("axis", 0)
    axis %= x.dim()
    if is_known(index) and index.ndim == 0:
        return torch.select(x, axis, int(index))
    index = tensor(index)
    if axis == 0 and x.dim() == 2 and x.is_floating_point():
        return F.embedding(index, x)
    return x[(slice(None),) * axis + (index,)]


def _pad(
    node: Node, x: Value, pads: Value = None, value: Value = None, axes: Value = None
) -> Tensor:
    x = tensor(x)
    edges = node.get("pads") if pads is None else numbers(pads, "edges")
    places = list(range(x.dim())) if axes is None else numbers(axes, "axes")
    each = {place % x.dim(): (edges[i], edges[i + len(places)]) for i, place in enumerate(places)}
    flat = [n for place in reversed(range(x.dim())) for n in each.get(place, (0, 0))]
    while flat[-2:] == [0, 0]:
        flat = flat[:-2]
    fill = node.get("value", 0.0) if value is None else number(value, "what is padded with")
    mode = {"edge": "replicate", "reflect": "reflect"}.get(node.get("mode", "constant"))
    return F.pad(x, flat, mode=mode) if mode else F.pad(x, flat, value=fill)


def _tile(node: Node, x: Value, repeats: Value) -> Tensor:
    return tensor(x).repeat(numbers(repeats, "how often it is repeated"))


def _range(node: Node, start: Value, end: Value, step: Value) -> Tensor:
    return torch.arange(*(number(value, "a range") for value in (start, end, step)))


def _filled(node: Node, shape: Value) -> Tensor:
    value = node.get("value")
    kind = torch.float32 if value is None else torch.from_numpy(value).dtype
    fill = 0 if value is None else value.reshape(-1)[0].item()
    return torch.full(numbers(shape, "a shape"), fill, dtype=kind)


def _triangle(node: Node, x: Value, k: Value = None) -> Tensor:
    function = torch.triu if node.get("upper", 1) else torch.tril
    return function(tensor(x), 0 if k is None else int(number(k, "a diagonal")))


def _depth_to_space(node: Node, x: Value) -> Tensor:
    if node.get("mode", "DCR") != "CRD":
        raise NotReadable("blocks outside channels")
    return F.pixel_shuffle(tensor(x), node.get("blocksize"))


OPERATORS: Mapping[str, Callable[..., Any]] = {
    **{name: _unary(getattr(torch, name.lower())) for name in (
        "Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Round", "Sigmoid",
        "Sign", "Sin", "Sqrt", "Tanh",
    )},
    **{name: _unary(getattr(F, name.lower())) for name in (
        "Relu", "HardSwish", "Mish", "Softplus", "Softsign",
    )},
    "Not": _unary(torch.logical_not),
    "Identity": _unary(lambda x: x),
    "Elu": _unary(F.elu, alpha=1.0),
    "Celu": _unary(F.celu, alpha=1.0),
    "LeakyRelu": lambda node, x: F.leaky_relu(tensor(x), node.get("alpha", 0.01)),
    "HardSigmoid": _unary(_hard_sigmoid, alpha=0.2, beta=0.5),
    "Gelu": _unary(F.gelu, approximate="none"),
    "PRelu": _prelu,
    "Clip": _clip,
    "Add": _binary(torch.add),
    "Sub": _binary(torch.sub),
    "Mul": _binary(torch.mul),
    "Sum": _binary(torch.add),
    "Min": _binary(torch.minimum),
    "Max": _binary(torch.maximum),
    "Equal": _binary(torch.eq),
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "And": _binary(torch.logical_and),
    "Or": _binary(torch.logical_or),
    "Div": _divide,
    "Pow": _power,
    "Where": _where,
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMin": _reduction(torch.amin),
    "ReduceL1": _reduction(_norm(1)),
    "ReduceL2": _reduction(_norm(2)),
    "ReduceSumSquare": _reduction(lambda x, axes, keepdim: torch.sum(x * x, axes, keepdim=keepdim)),
    "ArgMax": _place(torch.argmax),
    "ArgMin": _place(torch.argmin),
    "CumSum": _cumulative,
    "Shape": lambda node, x: sizes(tensor(x))[node.get("start", 0) : node.get("end")],
    "Cast": lambda node, x: tensor(x).to(_type(node.get("to"))),
    "CastLike": lambda node, x, like: tensor(x).to(tensor(like).dtype),
    "Dropout": lambda node, x, *_: tensor(x),
    "Reshape": _reshape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": lambda node, x: tensor(x).permute(
        node.get("perm") or list(range(tensor(x).dim()))[::-1]
    ),
    "Concat": lambda node, *parts: torch.cat([tensor(part) for part in parts], node.get("axis")),
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "GatherElements": lambda node, x, index: torch.gather(
        tensor(x), node.get("axis", 0), tensor(index)
    ),
    "Pad": _pad,
    "Tile": _tile,
    "Range": _range,
    "ConstantOfShape": _filled,
    "Trilu": _triangle,
    "DepthToSpace": _depth_to_space,
}  # fmt: skip
