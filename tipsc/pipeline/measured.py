"""The engine as it ships, measured on the device, and the original beside it.

A measurement is repeated where noise would decide: which of two paths is the faster while the other
is at least as good, or whether a path keeps the latency that a goal names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tipsc.batch import arrays, cycled
from tipsc.compile import Compiled
from tipsc.engine import Manifest
from tipsc.engine.original import ORIGINAL
from tipsc.pipeline.context import TargetProject
from tipsc.pipeline.latencies import with_latencies
from tipsc.pipeline.limits import check_engine
from tipsc.pipeline.names import with_names
from tipsc.pipeline.reference import OriginalAlone, OriginalCost, original_model
from tipsc.pipeline.verdicts import LeftOut
from tipsc.pipeline.worth import (
    REPEATS,
    Worth,
    is_undecided,
    joined_samples,
    left_out,
    within_noise,
)
from tipsc.profile import Measurement
from tipsc.progress import Progress, part, silent
from tipsc.runtime.pick import of_batch

_SAMPLES = 400  # of each path that the report draws


@dataclass(frozen=True)
class MeasuredEngine:
    """What was measured.

    Attributes:
        samples_ms: by path id some times of single calls.
        original: what the plain model takes there; None without one.
        useless: paths that the engine could do without.
        measurements: how often all was measured.
    """

    samples_ms: Mapping[str, Sequence[float]]
    original: OriginalCost | None
    useless: tuple[LeftOut, ...]
    measurements: int

    def to_json(self) -> dict[str, Any]:
        """As the stage keeps it, without the paths that it could do without."""
        return {
            "samples_ms": self.samples_ms,
            "original": None if self.original is None else self.original.to_json(),
            "measurements": self.measurements,
        }


def measured_engine(
    project: TargetProject,
    file: Path,
    manifest: Manifest,
    compiled: Compiled,
    worths: Sequence[Worth],
    progress: Progress,
) -> MeasuredEngine:
    """Writes the engine with the latencies of its paths.

    Args:
        file: the engine as it was compiled.
        worths: of the paths, in batches of the first size.

    Raises:
        BudgetError: it exceeds a limit.
    """
    target, device, seed = project.target, project.device, project.config.seed
    batches = project.config.build.batches
    example = arrays(cycled(project.data.validation, max(batches)).inputs)
    _, samples = device.measure(file, target, example, seed, part(progress, 0.0, 0.4), None)
    plain = project.model.original is not None
    original = OriginalAlone(project, file.parent, part(progress, 0.4, 0.5)) if plain else None
    whole_ms = original.measure(seed, part(progress, 0.5, 0.6)) if original is not None else None
    times = 1
    while times <= REPEATS and _is_doubtful(project, samples.summarise(), worths, whole_ms):
        again, begin = seed + times, 1.0 - 0.4 / times  # each takes half of what is left
        end = 1.0 - 0.4 / (times + 1)
        _, more = device.measure(file, target, example, again, part(progress, begin, end), None)
        samples, times = joined_samples(samples, more), times + 1
        whole_ms = original.measure(again, silent) if original is not None else None
    measurement = samples.summarise()
    pauses = device.pauses(file, target, example, seed)
    manifest = with_latencies(manifest, measurement, pauses)
    compiled.write(file, described(manifest, project, original))
    medians = {
        path.id: measurement.latencies[path.id].p50_ms
        for path in of_batch(manifest.paths, batches[0])
    }
    check_engine(project.config.build.limits, file, medians, measurement.noise)
    return MeasuredEngine(
        {name: samples.milliseconds(name, _SAMPLES) for name in samples.batches},
        None if original is None else original.cost,
        left_out(worths, medians),
        times,
    )


def described(
    manifest: Manifest, project: TargetProject, alone: OriginalAlone | None = None
) -> Manifest:
    """The manifest with what is known of the original, if there is one, and names of its paths."""
    build = project.config.build
    found = original_model(project, None if alone is None else alone.cost)
    if found is not None:
        provenance = {**manifest.provenance, ORIGINAL: found.to_text()}
        manifest = replace(manifest, provenance=provenance)
    return with_names(manifest, build.names, found, build.batches)


def _is_doubtful(
    project: TargetProject,
    measurement: Measurement,
    worths: Sequence[Worth],
    whole_ms: float | None,
) -> bool:
    """Whether noise would decide what ships, or whether a goal is met.

    Args:
        whole_ms: p50 of the original; None: goals are held against the slowest path.
    """
    p50 = {path.id: measurement.latencies[path.id].p50_ms for path in worths}
    whole = max(p50.values()) if whole_ms is None else whole_ms
    asked = [goal.latency_ms for goal in project.config.build.goals]
    asked += [goal.latency_share and goal.latency_share * whole
              for goal in project.config.build.goals]  # fmt: skip
    near = (within_noise(ms, most, measurement) for ms in p50.values() for most in asked if most)
    return is_undecided(worths, measurement) or any(near)
