"""Operators on known numbers, most of them sizes: the same as on tensors, by numpy."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tipsc.from_onnx.values import Node, axes_of

Known = np.ndarray


def _divide(node: Node, a: Known, b: Known) -> Known:
    if object in (a.dtype, b.dtype):  # sizes, none of which is negative
        return np.asarray(a // b)
    if np.issubdtype(a.dtype, np.integer):
        return np.asarray(np.trunc(a / b).astype(a.dtype))
    return np.asarray(a / b)


def _cast(node: Node, x: Known) -> Known:
    from onnx.helper import tensor_dtype_to_np_dtype

    if x.dtype == object:  # a size stays one
        return x
    return x.astype(tensor_dtype_to_np_dtype(node.get("to")))


def _gather(node: Node, x: Known, index: Known) -> Known:
    return np.asarray(np.take(x, index.astype(np.int64), axis=node.get("axis", 0)))


def _slice(node: Node, x: Known, *rest: Known | None) -> Known:
    starts, ends, axes, steps = (*rest, None, None, None, None)[:4]
    first = node.get("starts") if starts is None else starts.reshape(-1).tolist()
    last = node.get("ends") if ends is None else ends.reshape(-1).tolist()
    places = node.get("axes") if axes is None else axes.reshape(-1).tolist()
    by = [1] * len(first) if steps is None else steps.reshape(-1).tolist()
    cut: list[Any] = [slice(None)] * x.ndim
    for place, start, end, step in zip(places or range(len(first)), first, last, by, strict=True):
        cut[place] = slice(start, end, step)
    return x[tuple(cut)]


def _unsqueeze(node: Node, x: Known, axes: Known | None = None) -> Known:
    return np.expand_dims(x, tuple(axes_of(node, axes) or ()))


def _squeeze(node: Node, x: Known, axes: Known | None = None) -> Known:
    found = axes_of(node, axes)
    return np.squeeze(x, None if found is None else tuple(found))


def _reshape(node: Node, x: Known, shape: Known) -> Known:
    return x.reshape([int(size) for size in shape])


def _filled(node: Node, shape: Known) -> Known:
    value = node.get("value")
    one = np.zeros(1, np.float32) if value is None else value
    return np.full([int(size) for size in shape], one.reshape(-1)[0])


def _where(node: Node, chosen: Known, a: Known, b: Known) -> Known:
    return np.where(chosen.astype(bool), a, b)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Known]:
    return lambda node, a, b: np.asarray(function(a, b))


KNOWN: Mapping[str, Callable[..., Known]] = {
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _divide,
    "Equal": _binary(operator.eq),
    "Less": _binary(operator.lt),
    "Greater": _binary(operator.gt),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "Where": _where,
    "Cast": _cast,
    "Identity": lambda node, x: x,
    "Concat": lambda node, *parts: np.concatenate(parts, node.get("axis")),
    "Gather": _gather,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "ConstantOfShape": _filled,
    "ReduceProd": lambda node, x, *_: np.asarray(x.prod(keepdims=bool(node.get("keepdims", 1)))),
}
"""By operator. What is not here is computed with tensors."""
