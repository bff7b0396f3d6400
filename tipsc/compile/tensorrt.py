"""For TensorRT: portable graphs as the oldest of its parsers reads them, from which a device makes
plans."""

from __future__ import annotations

from tipsc.batch import arrays
from tipsc.compile import Job
from tipsc.compile.portable import lowered_paths
from tipsc.lower import Lowered
from tipsc.lower.half import to_half
from tipsc.lower.int8 import to_int8
from tipsc.lower.plain import in_older_opset, with_plain_weights


def compile_paths(job: Job) -> Lowered:
    """One export, and a graph for each path by surgery.

    Raises:
        LoweringError: a path cannot be expressed.
    """
    lowered = in_older_opset(lowered_paths(job))
    if job.target.precision == "int8":
        lowered = to_int8(lowered, arrays(job.inputs))
    elif job.target.precision == "fp16":
        lowered = to_half(lowered)
    return with_plain_weights(lowered)
