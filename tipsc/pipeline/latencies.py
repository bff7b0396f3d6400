"""What an engine says of its costs; a device that finishes engines needs no torch for it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tipsc.engine import Latency, Manifest
from tipsc.errors import ProfileError
from tipsc.profile import Measurement


def with_latencies(
    manifest: Manifest,
    measurement: Measurement,
    pauses: Mapping[str, Sequence[float]] | None = None,
    energies: Mapping[str, float] | None = None,
) -> Manifest:
    """The manifest with what was measured on the device, and what makes it doubtful.

    Args:
        pauses: by path id, ms of calls after pauses; None: not measured.
        energies: by path id, mJ of a call, of those that were measured.

    Raises:
        ProfileError: a time after a pause is no time.
    """
    found = {
        name: Latency(
            latency.p10_ms,
            latency.p50_ms,
            latency.p95_ms,
            None if pauses is None else _median(name, pauses.get(name, ())) - latency.p50_ms,
        )
        for name, latency in measurement.latencies.items()
    }
    known = energies or {}
    paths = tuple(
        replace(path, latency=found[path.id], energy_mj=known.get(path.id))
        for path in manifest.paths
    )
    return replace(manifest, paths=paths, noise=measurement.noise)


def _median(path: str, times_ms: Sequence[float]) -> float:
    if not times_ms or not all(math.isfinite(ms) and ms > 0 for ms in times_ms):
        raise ProfileError("a call after a pause was not timed", where=path, got=list(times_ms)[:3])
    return statistics.median(times_ms)
