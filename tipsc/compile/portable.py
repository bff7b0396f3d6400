"""Portable graphs over one weight store, as ONNX Runtime runs them."""

from __future__ import annotations

from tipsc.compile import Job
from tipsc.errors import TargetError
from tipsc.lower import Lowered, lower
from tipsc.lower.half import to_half


def compile_paths(job: Job) -> Lowered:
    """One export, and a graph for each path by surgery.

    Raises:
        TargetError: the target asks for int8.
        LoweringError: a path cannot be expressed.
    """
    if job.target.precision == "int8":
        raise TargetError(
            f"portable graphs are not compiled in int8 for the backend {job.target.backend}",
            where=f"{job.target.name}.precision",
            got="int8",
            fix="choose a target with the backend litert for int8 on a CPU",
        )
    lowered = lowered_paths(job)
    return to_half(lowered) if job.target.precision == "fp16" else lowered


def lowered_paths(job: Job) -> Lowered:
    """The paths in fp32, in ONNX of today."""
    return lower(
        job.supernet,
        [c.path for c in job.candidates],
        {c.path.id: c.statistics for c in job.candidates},
        batches=job.batches,
        progress=lambda done, total: job.progress(done, total, "lowering"),
    )
