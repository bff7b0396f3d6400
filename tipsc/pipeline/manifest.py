"""What an engine says of itself: its paths, where it came from, and what was measured of it."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from tipsc import __version__
from tipsc.compile import Compiled
from tipsc.elastic import Supernet
from tipsc.engine import Latency, Manifest, PathEntry
from tipsc.engine.manifest import entry_ids
from tipsc.errors import ProfileError
from tipsc.profile import Measurement
from tipsc.project.target import Target
from tipsc.quality import Quality
from tipsc.search.candidates import Candidate


def make_manifest(
    name: str,
    target: Target,
    supernet: Supernet,
    candidates: Sequence[Candidate],
    compiled: Compiled,
    provenance: Mapping[str, str],
    batches: Sequence[int] = (1,),
) -> Manifest:
    """The manifest of an engine with these paths, latencies not measured yet.

    Args:
        batches: for calls with so many examples they were compiled.
    """
    entries = tuple(
        PathEntry(
            id=name,
            options=dict(c.path.items),
            quality=c.quality,
            latency=None,
            macs=size * c.macs,
            parameters=c.parameters,
            shared_bytes=compiled.sizes[name].shared,
            private_bytes=compiled.sizes[name].private,
            batch=size,
        )
        for c in candidates
        for name, size in entry_ids(c.path.id, batches).items()
    )
    versions = {
        "tipsc": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    return Manifest(
        name=name,
        target=target.name,
        backend=target.backend,
        signature=compiled.signature,
        paths=entries,
        space=list(supernet.space.to_json()),
        provenance={**versions, **provenance},
    )


def with_qualities(manifest: Manifest, qualities: Mapping[str, Quality]) -> Manifest:
    """The manifest with qualities on the test set, by path id."""
    paths = tuple(replace(path, quality=qualities[path.id]) for path in manifest.paths)
    return replace(manifest, paths=paths)


def with_latencies(
    manifest: Manifest,
    measurement: Measurement,
    pauses: Mapping[str, Sequence[float]] | None = None,
) -> Manifest:
    """The manifest with what was measured on the device, and what makes it doubtful.

    Args:
        pauses: by path id, ms of calls after pauses; None: not measured.

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
    paths = tuple(replace(path, latency=found[path.id]) for path in manifest.paths)
    return replace(manifest, paths=paths, noise=measurement.noise)


def _median(path: str, times_ms: Sequence[float]) -> float:
    if not times_ms or not all(math.isfinite(ms) and ms > 0 for ms in times_ms):
        raise ProfileError("a call after a pause was not timed", where=path, got=list(times_ms)[:3])
    return statistics.median(times_ms)
