"""For ONNX Runtime and TensorRT: portable graphs over one weight store."""

from __future__ import annotations

from tipsc.compile import Job
from tipsc.errors import TargetError
from tipsc.lower import Lowered, lower


def compile_paths(job: Job) -> Lowered:
    """One export, and a graph for each path by surgery.

    Raises:
        TargetError: the target asks for another precision than fp32.
        LoweringError: a path cannot be expressed.
    """
    if job.target.precision != "fp32":
        raise TargetError(
            "portable graphs are compiled in fp32 only",
            where=f"{job.target.name}.precision",
            got=job.target.precision,
            fix="choose a target with the backend litert for int8",
        )
    return lower(
        job.supernet,
        [c.path for c in job.candidates],
        {c.path.id: c.statistics for c in job.candidates},
        progress=lambda done, total: job.progress(done, total, "lowering"),
    )
