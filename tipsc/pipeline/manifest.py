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
from tipsc.engine.manifest import entry_ids
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
