"""What all who read a graph must know of an operation: one table, by its name in torch.

The name is that of a function of torch and of the ATen operation alike; a layer has the name of the
function that it computes. What has no entry is run to learn its shape, and takes no MACs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from tipsc.elastic.macs import (
    Counter,
    Shape,
    attention_macs,
    einsum_macs,
    layer_macs,
    no_macs,
    product_macs,
    recurrent_macs,
    transposed_macs,
)


@dataclass(frozen=True)
class Arithmetic:
    """Of one operation.

    Attributes:
        keeps_shape: whether its output has the shape and type of the one tensor that it reads,
            tensors of weights aside; then none of it is run to learn its shape, which is where
            most time of a trace would go.
        macs: its multiply-accumulates.
    """

    keeps_shape: bool = False
    macs: Counter = no_macs


#: what works on each value of one tensor
ACTIVATIONS = (
    *("relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "sigmoid", "silu", "gelu", "tanh"),
    *("elu", "leaky_relu", "mish", "softplus", "clamp"),
)
#: of those, f(a x) = a f(x) for positive a
HOMOGENEOUS = ("relu", "leaky_relu")
#: torch's layers, by the operation that each computes
LAYERS: Mapping[type[nn.Module], str] = {
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.Conv3d: "conv3d",
    nn.ConvTranspose1d: "conv_transpose1d",
    nn.ConvTranspose2d: "conv_transpose2d",
    nn.ConvTranspose3d: "conv_transpose3d",
    nn.Linear: "linear",
    nn.BatchNorm1d: "batch_norm",
    nn.BatchNorm2d: "batch_norm",
    nn.BatchNorm3d: "batch_norm",
    nn.LayerNorm: "layer_norm",
    nn.RMSNorm: "rms_norm",
    nn.GroupNorm: "group_norm",
    nn.Dropout: "dropout",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Hardswish: "hardswish",
    nn.SiLU: "silu",
    nn.GELU: "gelu",
}
_LIKE_INPUT = Arithmetic(keeps_shape=True)
_UNKNOWN = Arithmetic()

ARITHMETIC: Mapping[str, Arithmetic] = {
    **dict.fromkeys(ACTIVATIONS, _LIKE_INPUT),
    **dict.fromkeys(("batch_norm", "layer_norm", "rms_norm", "group_norm"), _LIKE_INPUT),
    "dropout": _LIKE_INPUT,
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d"), Arithmetic(macs=layer_macs)),
    **{f"conv_transpose{rank}d": Arithmetic(macs=transposed_macs) for rank in (1, 2, 3)},
    **dict.fromkeys(("matmul", "bmm", "mm"), Arithmetic(macs=product_macs)),
    "scaled_dot_product_attention": Arithmetic(macs=attention_macs),
    **dict.fromkeys(("lstm", "gru"), Arithmetic(macs=recurrent_macs)),
    "einsum": Arithmetic(macs=einsum_macs),
}


def arithmetic_of(operation: str) -> Arithmetic:
    """What is known of an operation; one that says nothing, if it has no entry."""
    return ARITHMETIC.get(operation, _UNKNOWN)


def macs_of(operation: str, inputs: Sequence[Shape], result: Shape, equation: str = "") -> int:
    """Multiply-accumulates.

    Args:
        operation: its name.
        inputs: shapes of the tensors that it reads, in order, weights among them.
        result: shape of what it gives.
        equation: of an einsum.
    """
    return arithmetic_of(operation).macs(inputs, result, equation)


#: words in the names of operations whose input has its channels second, and last
CHANNELS_SECOND = ("conv", "pool", "batch_norm", "instance_norm", "group_norm", "upsample")
CHANNELS_LAST = ("linear", "layer_norm", "rms_norm")
