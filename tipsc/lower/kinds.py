"""What an operation does with a level: a factor of all values of its input.

See :mod:`tipsc.lower.levels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from torch import nn
from torch.nn.modules.conv import _ConvNd

from tipsc.elastic.layers import operation_of
from tipsc.lower.operations import FunctionCall, PlannedOperation


class Carrying(Enum):
    FOLLOWS = 1
    MULTIPLIES = 2
    DIVIDES = 3
    JOINS = 4


_KINDS: Mapping[str, Carrying] = {
    **dict.fromkeys(
        (
            *("relu", "leaky_relu", "prelu", "dropout", "neg", "abs", "getitem", "identity"),
            *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
            *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "mean", "sum"),
            *("adaptive_max_pool1d", "adaptive_max_pool2d", "amax", "amin"),
            *("reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous"),
            *("permute", "transpose", "t", "clone", "expand", "select", "slice", "narrow"),
            *("chunk", "split", "split_with_sizes", "unbind", "roll", "flip", "repeat"),
            *("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "interpolate"),
            *("upsample_nearest1d", "upsample_nearest2d", "upsample_bilinear2d"),
            *("upsample_linear1d", "upsample_bicubic2d"),
        ),
        Carrying.FOLLOWS,
    ),
    **dict.fromkeys(("mul", "matmul", "bmm", "mm"), Carrying.MULTIPLIES),
    "div": Carrying.DIVIDES,
    **dict.fromkeys(
        ("add", "sub", "rsub", "cat", "concat", "stack", "maximum", "minimum"), Carrying.JOINS
    ),
}
_LISTS = ("cat", "concat", "stack")  # take a list of tensors
_MODULES: Mapping[type[nn.Module], Carrying] = dict.fromkeys(
    (
        *(nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Flatten, nn.PixelShuffle),
        *(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d),
        *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample),
    ),
    Carrying.FOLLOWS,
)


def is_layer(module: nn.Module) -> bool:
    """Whether it is linear but for its bias."""
    return isinstance(module, nn.Linear | _ConvNd)


def name_of(operation: PlannedOperation) -> str:
    """Of the function that it is or computes."""
    return operation_of(operation.module) or operation.name.rstrip("_")


def kind_of(operation: PlannedOperation) -> Carrying | None:
    """None for what is not known to carry a level."""
    module, name = operation.module, name_of(operation)
    kind = _KINDS.get(name)
    if not isinstance(module, FunctionCall):
        return _MODULES.get(type(module)) or kind
    if not module.starts_with_tensor and name not in _LISTS:
        return None
    others = bool(module.numbers) or bool(module.named.keys() - {"alpha", "dim"})
    adds_number = kind is Carrying.JOINS and name not in _LISTS and others
    rounds = kind is Carrying.DIVIDES and "rounding_mode" in module.named
    return None if adds_number or rounds else kind
