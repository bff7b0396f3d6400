"""What was measured on a device, written into an engine's manifest."""

from __future__ import annotations

from dataclasses import replace

from tipsc.engine import Latency, Manifest
from tipsc.profile import Measurement


def with_latencies(manifest: Manifest, measurement: Measurement) -> Manifest:
    """The manifest with what was measured on the device, and what makes it doubtful."""
    found = {
        name: Latency(latency.p10_ms, latency.p50_ms, latency.p95_ms)
        for name, latency in measurement.latencies.items()
    }
    paths = tuple(replace(path, latency=found[path.id]) for path in manifest.paths)
    return replace(manifest, paths=paths, noise=measurement.noise)
