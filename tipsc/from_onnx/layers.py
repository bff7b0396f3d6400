"""Operators with weights, windows and norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.from_onnx.values import Node, NotReadable, Value, numbers, tensor

_CONVOLUTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAXIMUM = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _padding(
    node: Node, x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Before and after each axis of places."""
    rank, how = len(kernel), node.get("auto_pad", "NOTSET")
    if how in ("NOTSET", "VALID"):
        pads = list(node.get("pads", [0] * 2 * rank)) if how == "NOTSET" else [0] * 2 * rank
        return pads[:rank], pads[rank:]
    before, after = [], []
    for size, k, step, apart in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max(0, (math.ceil(int(size) / step) - 1) * step + (k - 1) * apart + 1 - int(size))
        small, large = total // 2, total - total // 2
        before.append(small if how == "SAME_UPPER" else large)
        after.append(large if how == "SAME_UPPER" else small)
    return before, after


def _windows(node: Node, x: Tensor, kernel: Sequence[int]) -> tuple[Tensor, dict[str, Any]]:
    """What is seen by windows, and their stride and padding; edges that differ are added first."""
    rank = len(kernel)
    strides, dilations = list(node.get("strides", [1] * rank)), node.get("dilations", [1] * rank)
    before, after = _padding(node, x, kernel, strides, dilations)
    if before != after:
        fill = float("-inf") if node.operator == "MaxPool" else 0.0
        if node.operator == "AveragePool" and not node.get("count_include_pad", 0):
            raise NotReadable("edges that differ, of which a mean takes no notice")
        x = F.pad(x, [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair],
                  value=fill)  # fmt: skip
        before = [0] * rank
    return x, {"stride": strides, "padding": before, "dilation": list(dilations)}


def _convolution(node: Node, x: Value, weight: Value, bias: Value = None) -> Tensor:
    x, weight = tensor(x), tensor(weight)
    x, settings = _windows(node, x, weight.shape[2:])
    bias = None if bias is None else tensor(bias)
    rank = weight.dim() - 2
    return _CONVOLUTION[rank](x, weight, bias, groups=node.get("group", 1), **settings)


def _transposed(node: Node, x: Value, weight: Value, bias: Value = None) -> Tensor:
    x, weight = tensor(x), tensor(weight)
    rank = weight.dim() - 2
    pads = node.get("pads", [0] * 2 * rank)
    if pads[:rank] != pads[rank:] or node.get("auto_pad", "NOTSET") != "NOTSET":
        raise NotReadable("edges that differ, or that follow the size")
    return _TRANSPOSED[rank](
        x, weight, None if bias is None else tensor(bias), groups=node.get("group", 1),
        stride=node.get("strides", [1] * rank), padding=pads[:rank],
        output_padding=node.get("output_padding", [0] * rank),
        dilation=node.get("dilations", [1] * rank),
    )  # fmt: skip


def _max_pool(node: Node, x: Value) -> Tensor:
    kernel = node.get("kernel_shape")
    x, settings = _windows(node, tensor(x), kernel)
    ceil = bool(node.get("ceil_mode", 0))
    return _MAXIMUM[len(kernel)](x, list(kernel), ceil_mode=ceil, **settings)


def _average_pool(node: Node, x: Value) -> Tensor:
    kernel = node.get("kernel_shape")
    x, settings = _windows(node, tensor(x), kernel)
    if set(settings.pop("dilation")) != {1}:
        raise NotReadable("windows with gaps")
    return _MEAN[len(kernel)](
        x, list(kernel), ceil_mode=bool(node.get("ceil_mode", 0)),
        count_include_pad=bool(node.get("count_include_pad", 0)), **settings,
    )  # fmt: skip


def _over_places(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda node, x: function(tensor(x), list(range(2, tensor(x).dim())), keepdim=True)


def _gemm(node: Node, a: Value, b: Value, c: Value = None) -> Tensor:
    a, b = tensor(a), tensor(b)
    if node.get("transA", 0):
        a = a.transpose(0, 1)
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if alpha == 1.0 and node.get("transB", 0):
        product = F.linear(a, b)
    else:
        product = torch.matmul(a, b.transpose(0, 1) if node.get("transB", 0) else b) * alpha
    if c is None:
        return product
    return product + (tensor(c) if beta == 1.0 else tensor(c) * beta)


def _batch_norm(
    node: Node, x: Value, scale: Value, bias: Value, mean: Value, variance: Value
) -> Tensor:
    if node.get("training_mode", 0):
        raise NotReadable("a norm in training mode")
    x, mean, variance, scale, bias = (tensor(part) for part in (x, mean, variance, scale, bias))
    return F.batch_norm(x, mean, variance, scale, bias, eps=node.get("epsilon", 1e-5))


def _instance_norm(node: Node, x: Value, scale: Value, bias: Value) -> Tensor:
    weight, bias, eps = tensor(scale), tensor(bias), node.get("epsilon", 1e-5)
    return F.instance_norm(tensor(x), weight=weight, bias=bias, eps=eps)


def _layer_norm(node: Node, x: Value, scale: Value, bias: Value = None) -> Tensor:
    x = tensor(x)
    shape = list(x.shape[node.get("axis", -1) % x.dim() :])
    bias = None if bias is None else tensor(bias)
    return F.layer_norm(x, shape, tensor(scale), bias, node.get("epsilon", 1e-5))


def _rms_norm(node: Node, x: Value, scale: Value) -> Tensor:
    x = tensor(x)
    shape = list(x.shape[node.get("axis", -1) % x.dim() :])
    return F.rms_norm(x, shape, tensor(scale), node.get("epsilon", 1e-5))


def _group_norm(node: Node, x: Value, scale: Value, bias: Value) -> Tensor:
    if node.version < 21:
        raise NotReadable("weights for each group")
    parts = (tensor(scale), tensor(bias))
    return F.group_norm(tensor(x), node.get("num_groups"), *parts, node.get("epsilon", 1e-5))


_INTERPOLATION = {"linear": {1: "linear", 2: "bilinear", 3: "trilinear"}, "cubic": {2: "bicubic"}}


def _resize(node: Node, x: Value, *rest: Value) -> Tensor:
    x = tensor(x)
    if node.operator == "Upsample" or node.version < 11:
        scales, wanted, how = rest[0] if rest else None, None, "asymmetric"
    else:
        _, scales, wanted = (*rest, None, None, None)[:3]
        how = node.get("coordinate_transformation_mode", "half_pixel")
    if wanted is not None and len(numbers(wanted, "sizes")):
        size = [int(n) for n in numbers(wanted, "sizes")[-(x.dim() - 2) :]]
    else:
        factors = node.get("scales") if scales is None else numbers(scales, "scales")
        size = [int(n * f) for n, f in zip(x.shape[2:], factors[2:], strict=True)]
    mode, rank = node.get("mode", "nearest"), len(size)
    if mode == "nearest":
        whole = all(new % int(old) == 0 for new, old in zip(size, x.shape[2:], strict=True))
        floor = how == "asymmetric" and node.get("nearest_mode", "floor") == "floor"
        round_ = how in ("half_pixel", "pytorch_half_pixel") and whole
        if not floor and not round_:
            raise NotReadable(f"nearest neighbours by {how}")
        return F.interpolate(x, size)
    kind = _INTERPOLATION.get(mode, {}).get(rank)
    other = mode == "cubic" and (
        node.get("cubic_coeff_a", -0.75) != -0.75 or node.get("exclude_outside", 0)
    )
    if kind is None or other or how not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        raise NotReadable(f"{mode} interpolation by {how}")
    return F.interpolate(x, size, mode=kind, align_corners=how == "align_corners")


LAYERS: Mapping[str, Callable[..., Any]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": lambda node, a, b: torch.matmul(tensor(a), tensor(b)),
    "Einsum": lambda node, *parts: torch.einsum(node.get("equation"), *map(tensor, parts)),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _over_places(torch.mean),
    "GlobalMaxPool": _over_places(torch.amax),
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "GroupNormalization": _group_norm,
    "Resize": _resize,
    "Upsample": _resize,
}
