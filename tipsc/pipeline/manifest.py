"""What an engine says of itself: its paths, and where it came from."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from tipsc import __version__
from tipsc.compile import Compiled
from tipsc.elastic import Supernet
from tipsc.engine import Manifest, PathEntry
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
) -> Manifest:
    """The manifest of an engine with these paths, latencies not measured yet."""
    entries = tuple(
        PathEntry(
            id=c.path.id,
            options=dict(c.path.items),
            quality=c.quality,
            latency=None,
            macs=c.macs,
            parameters=c.parameters,
            shared_bytes=compiled.sizes[c.path.id].shared,
            private_bytes=compiled.sizes[c.path.id].private,
        )
        for c in candidates
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
