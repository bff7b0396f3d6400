"""Latencies that nobody measured, estimated from what is published of a device.

A kernel takes as long as its arithmetic or its memory traffic, whichever is longer (Williams,
Waterman and Patterson, "Roofline", 2009), and what launching it costs. A path takes the sum of its
kernels. That orders paths; it is no latency, and nothing that a device is judged by.

Import it by name: it needs torch, and the rest of this package does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tipsc.elastic import CostModel, Supernet
from tipsc.elastic.cost import StepCost
from tipsc.elastic.factors import Part, additive_parts
from tipsc.elastic.layers import operation_of
from tipsc.elastic.trace import input_labels
from tipsc.factors import Additive
from tipsc.paths import Path
from tipsc.project.target import BYTES, Roofline

_MS = "ms"
#: give as many values as they read, and yet no compiler puts them into the kernel before them
_BY_THEMSELVES = ("layer_norm", "rms_norm", "group_norm", "softmax")


def kernel_ms(roofline: Roofline, precision: str, macs: float, values: float) -> float:
    """What one kernel takes.

    Args:
        precision: that it computes in: fp32, fp16 or int8.
        macs: multiply-accumulates.
        values: that it reads and writes, weights among them.
    """
    arithmetic_ms = 2 * macs / (getattr(roofline.tflops, precision) * 1e9)
    return max(arithmetic_ms, traffic_ms(roofline, precision, values)) + roofline.launch_us * 1e-3


def traffic_ms(roofline: Roofline, precision: str, values: float) -> float:
    """What so many values take to or from memory."""
    return values * BYTES[precision] / (roofline.memory_gb_s * 1e6)


def estimated_ms(supernet: Supernet, roofline: Roofline, precision: str = "fp32") -> Additive:
    """The estimate for one example on a path, in milliseconds, as the chain carries it.

    What works value by value (norms, activations, additions, other shapes) runs in the kernel that
    made what it reads, as inference compilers have it, and costs the reading of its other inputs.

    Raises:
        LoweringError: the supernet cannot be traced, or a step depends on too many choices.
    """
    model = CostModel(supernet)
    given = dict(zip(input_labels(supernet.inputs), supernet.inputs, strict=True))

    def of_path(path: Path) -> Mapping[Part, float]:
        values = {label: math.prod(spec.shape) for label, spec in given.items()}
        parts = {}
        for cost in model.by_step(path):
            step = cost.step
            read = [values[label] for label in step.inputs]
            values[step.label] = sum(map(math.prod, step.parts or (step.shape,)))
            if not step.inputs or step.operation == "getitem":  # whoever reads it pays
                continue
            if _joins(supernet, cost, read, values[step.label]) and set(step.inputs) - set(given):
                ms = traffic_ms(roofline, precision, sum(read) - max(read))
            else:
                moved = sum(read) + cost.parameters + values[step.label]
                ms = kernel_ms(roofline, precision, cost.macs, moved)
            if ms:
                parts[_MS, step.label] = ms
        return parts

    return additive_parts(supernet.space, of_path, [_MS])[_MS]


def _joins(supernet: Supernet, cost: StepCost, read: list[int], written: int) -> bool:
    """Whether a step runs in the kernel before it: it works value by value."""
    step = cost.step
    operation = operation_of(supernet.get_submodule(step.module)) if step.module else step.operation
    return not cost.macs and written == max(read) and operation not in _BY_THEMSELVES
