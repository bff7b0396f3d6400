"""For ONNX Runtime and TensorRT: portable graphs over one weight store."""

from __future__ import annotations

from tipsc.compile import Job
from tipsc.errors import TargetError
from tipsc.lower import Lowered, lower
from tipsc.lower.half import to_half


def compile_paths(job: Job) -> Lowered:
    """One export, and a graph for each path by surgery.

    Raises:
        TargetError: the target asks for another precision than fp32 and fp16.
        LoweringError: a path cannot be expressed.
    """
    if job.target.precision not in ("fp32", "fp16"):
        raise TargetError(
            "portable graphs are compiled in fp32 and fp16 only",
            where=f"{job.target.name}.precision",
            got=job.target.precision,
            fix="choose a target with the backend litert for int8",
        )
    lowered = lower(
        job.supernet,
        [c.path for c in job.candidates],
        {c.path.id: c.statistics for c in job.candidates},
        progress=lambda done, total: job.progress(done, total, "lowering"),
    )
    return to_half(lowered) if job.target.precision == "fp16" else lowered
