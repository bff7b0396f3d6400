"""Compilers: from calibrated paths to what an engine for a backend holds.

A compiler is the module that a backend names in :data:`tipsc.backends.table.BACKENDS`. It stands
apart from the one that runs its engines, which on a device imports nothing that compiles them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from tipsc.backends.table import BACKENDS
from tipsc.batch import Tensors
from tipsc.elastic import Supernet
from tipsc.engine import Manifest
from tipsc.errors import TargetError, near
from tipsc.lower import PathBytes
from tipsc.progress import Progress
from tipsc.project.target import Target
from tipsc.search.candidates import Candidate
from tipsc.signature import Signature

__all__ = ["Compiled", "Compiler", "Job", "compile_candidates"]


@dataclass(frozen=True)
class Job:
    """What is to be compiled.

    Attributes:
        target: the kind of device.
        supernet: with trained weights.
        candidates: paths with their statistics; at least one.
        inputs: (N, *shape), or a tree of such, of the user's training data: to calibrate int8 on.
        cache: a folder for what can be used again, made if need be. None: nothing is kept.
        progress: called with (done, all, what).
        batches: for calls with so many examples each path is compiled.
    """

    target: Target
    supernet: Supernet
    candidates: Sequence[Candidate]
    inputs: Tensors
    cache: Path | None
    progress: Progress
    batches: Sequence[int] = (1,)


class Compiled(Protocol):
    """Paths, ready to be written into an engine."""

    @property
    def sizes(self) -> Mapping[str, PathBytes]:
        """Weight bytes of each path, by the ids that it has in the engine: those of
        :func:`tipsc.engine.manifest.entry_ids`.
        """

    @property
    def signature(self) -> Signature:
        """What each path takes and gives for one example."""

    @property
    def remark(self) -> str:
        """What should be known of it; empty for nothing."""

    def write(self, file: Path, manifest: Manifest) -> None:
        """Writes an engine with these paths."""


class Compiler(Protocol):
    """What the module of a backend offers that compiles for it."""

    def compile_paths(self, job: Job) -> Compiled:
        """Compiles the paths of a job."""


def compile_candidates(job: Job) -> Compiled:
    """Compiles paths for the backend of the job's target.

    Raises:
        TargetError: there is no compiler for the backend, or not in this precision.
        LoweringError: a path cannot be compiled.
        MissingExtraError: what compiles for this backend is not installed.
    """
    name = job.target.backend
    if name not in BACKENDS:
        raise TargetError(
            f"nothing compiles for the backend {name!r}",
            where=job.target.name,
            fix=near(name, BACKENDS),
        )
    compiler = cast(Compiler, importlib.import_module(BACKENDS[name].compiles))
    return compiler.compile_paths(job)
