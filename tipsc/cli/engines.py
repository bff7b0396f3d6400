"""What the verbs share that read engines: documents, tables, the threads of a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tipsc.engine import Latency, Manifest, PathEntry
from tipsc.errors import TargetError
from tipsc.quality import Quality

if TYPE_CHECKING:
    from rich.table import Table


def path_document(path: PathEntry, names: Mapping[str, str]) -> dict[str, Any]:
    """A path as ``--format json`` gives it, everywhere; these fields are stable.

    Args:
        names: of the engine's paths, by their ids.
    """
    return {
        "id": path.id,
        "name": names.get(path.id),
        "options": dict(path.options),
        "batch": path.batch,
        "quality": quality_document(path.quality),
        "latency": latency_document(path.latency),
        "energy_mj": path.energy_mj,
        "macs": path.macs,
        "parameters": path.parameters,
        "bytes": {"shared": path.shared_bytes, "private": path.private_bytes},
    }


def quality_document(quality: Quality | None) -> dict[str, object] | None:
    """A quality as ``--format json`` gives it, everywhere."""
    return None if quality is None else asdict(quality)


def latency_document(latency: Latency | None) -> dict[str, float | None] | None:
    """Recorded latency, in milliseconds."""
    if latency is None:
        return None
    return {
        "p10_ms": latency.p10_ms,
        "p50_ms": latency.p50_ms,
        "p95_ms": latency.p95_ms,
        "pause_ms": latency.pause_ms,
    }


def paths_table(manifest: Manifest) -> Table:
    """The table of a build, from what the engine says about itself."""
    from tipsc.report.data import Shipped
    from tipsc.report.tables import shipped_table

    rows = (
        Shipped(
            id=path.id,
            name=manifest.names.get(path.id, ""),
            quality=path.quality,
            p50_ms=path.latency.p50_ms if path.latency else math.nan,
            p95_ms=path.latency.p95_ms if path.latency else math.nan,
            parameters=path.parameters,
            macs=path.macs,
            shared_bytes=path.shared_bytes,
            private_bytes=path.private_bytes,
            samples_ms=(),
            difference=math.nan,  # is not in an engine, and not in the table
            agreement=math.nan,
            batch=path.batch,
        )
        for path in manifest.paths
    )
    return shipped_table(rows)


def threads_of(manifest: Manifest, asked: int | None) -> int:
    """What was asked for, else what the engine's target says, if it is known here."""
    from tipsc.project.target import load_target

    if asked is not None:
        return asked
    try:
        return load_target(manifest.target).threads
    except TargetError:  # a target file of somebody else's
        return 1
