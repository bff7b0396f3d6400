"""What each operator does to the axes of its tensors: all rules in one table."""

from __future__ import annotations

from tipsc.elastic.conversion.analysis import Analysis, Rule
from tipsc.elastic.conversion.capture import Program
from tipsc.elastic.conversion.rules_layers import LAYERS
from tipsc.elastic.conversion.rules_mixing import MIXING
from tipsc.elastic.conversion.rules_shapes import SHAPES

RULES: dict[str, Rule] = LAYERS | SHAPES | MIXING

POINTWISE = {
    "relu6", "to", "_to_copy", "type_as", "hardswish", "hardsigmoid", "silu", "mish", "gelu",
    "selu", "celu", "elu", "leaky_relu", "softplus", "logsigmoid", "log_sigmoid", "hardtanh",
    "square",
    "where", "clamp", "masked_fill", "zeros_like", "ones_like", "full_like", "float", "rsub",
    "fill", "copy", "softshrink", "hardshrink", "tanhshrink", "softsign", "threshold", "relu",
}  # fmt: skip


def analyse(program: Program) -> Analysis:
    """The axes of all values of a program, and what was not understood of it."""
    return Analysis(program, RULES, POINTWISE)
