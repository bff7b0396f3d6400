"""For ONNX Runtime and TensorRT: portable graphs over one weight store."""

from __future__ import annotations

from tipsc.compile import Job
from tipsc.errors import TargetError
from tipsc.lower import Lowered, lower
from tipsc.lower.half import to_half
from tipsc.lower.int8 import to_int8
from tipsc.lower.plain import in_older_opset, with_plain_weights


def compile_paths(job: Job) -> Lowered:
    """One export, and a graph for each path by surgery.

    Raises:
        TargetError: int8 for another backend than TensorRT.
        LoweringError: a path cannot be expressed.
    """
    if job.target.precision == "int8" and job.target.backend != "tensorrt":
        raise TargetError(
            "portable graphs are compiled in int8 for the backend tensorrt only",
            where=f"{job.target.name}.precision",
            got=f"int8 for {job.target.backend}",
            fix="choose a target with the backend litert for int8 on a CPU",
        )
    lowered = lower(
        job.supernet,
        [c.path for c in job.candidates],
        {c.path.id: c.statistics for c in job.candidates},
        progress=lambda done, total: job.progress(done, total, "lowering"),
    )
    for_tensorrt = job.target.backend == "tensorrt"
    if for_tensorrt:
        lowered = in_older_opset(lowered)
    if job.target.precision == "int8":
        lowered = to_int8(lowered, job.images.numpy())
    elif job.target.precision == "fp16":
        lowered = to_half(lowered)
    return with_plain_weights(lowered) if for_tensorrt else lowered
