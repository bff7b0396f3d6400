"""From calibrated paths to an engine file whose every path was compared with torch."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path as FilePath

import torch

from tipsc import __version__
from tipsc.backends import check_caches
from tipsc.candidates import Candidate
from tipsc.compile import Compiled
from tipsc.elastic import Supernet, extract
from tipsc.engine import Latency, Manifest, PathEntry, TensorSpec, read_engine
from tipsc.lower import MOST_LOST, Difference, compare
from tipsc.profile import Measurement, Protocol, Samples, collect
from tipsc.progress import Progress
from tipsc.runtime import Engine
from tipsc.target import Target
from tipsc.train import Split

_CACHE_EXAMPLES = 16  # packed weights are right or wrong at once


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
            accuracy=c.accuracy,
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
        inputs=(TensorSpec("input", compiled.input_dtype, compiled.input_shape),),
        outputs=(TensorSpec("output", "float32", compiled.output_shape),),
        paths=entries,
        space=list(supernet.space.to_json()),
        provenance={**versions, **provenance},
    )


def with_latencies(manifest: Manifest, measurement: Measurement) -> Manifest:
    """The manifest with what was measured on the device."""
    found = {
        name: Latency(latency.p10_ms, latency.p50_ms, latency.p95_ms)
        for name, latency in measurement.latencies.items()
    }
    paths = tuple(replace(path, latency=found[path.id]) for path in manifest.paths)
    return replace(manifest, paths=paths)


def with_accuracies(manifest: Manifest, accuracies: Mapping[str, float]) -> Manifest:
    """The manifest with accuracies on the test set, by path id."""
    paths = tuple(replace(path, accuracy=accuracies[path.id]) for path in manifest.paths)
    return replace(manifest, paths=paths)


def write(file: FilePath, manifest: Manifest, compiled: Compiled) -> None:
    """Writes the engine file."""
    compiled.write(file, manifest)


def measure_engine(
    file: FilePath,
    target: Target,
    example: torch.Tensor,
    seed: int,
    progress: Progress,
    only: Collection[str] | None = None,
) -> tuple[Protocol, Samples]:
    """Times of each path of an engine on this machine, and the target's protocol for it.

    Args:
        only: ids of the paths to measure; all if not given.
    """
    x = example.numpy()
    with Engine.open(file, threads=target.threads) as engine:
        context = engine.context()
        calls = {path.id: partial(context.run, x, path=path.id) for path in engine.paths}
        calls = {name: call for name, call in calls.items() if only is None or name in only}
        protocol = Protocol.for_target(target, seed=seed)
        samples = collect(
            calls,
            protocol=protocol,
            progress=lambda share, left_s: progress(share, 1.0, "measuring"),
        )
    return protocol, samples


def verify_engine(
    file: FilePath,
    target: Target,
    supernet: Supernet,
    candidates: Sequence[Candidate],
    split: Split,
    limit: int,
    tolerance: float,
    progress: Progress,
    quantised_loss: float = MOST_LOST,
) -> dict[str, Difference]:
    """Compares each path of an engine with the extracted torch subnetwork.

    Args:
        split: with known targets, so that the engine's accuracy is measured as well.
        limit: how many examples of it to use.
        tolerance: of a path in fp32.
        quantised_loss: most accuracy that a path in int8 may lose.

    Raises:
        VerificationError: one differs by more than `tolerance`, or loses too much accuracy, or
            computes something else with the backend's caches than without.
    """
    inputs, targets = split.inputs[:limit], split.targets[:limit]
    total = len(candidates) * len(inputs)
    found = {}
    with Engine.open(file, threads=target.threads) as engine:
        for index, candidate in enumerate(candidates):
            path_id, before = candidate.path.id, index * len(inputs)
            module = extract(supernet, candidate.path, candidate.statistics)
            found[path_id] = compare(
                partial(engine.run, path=path_id),
                module,
                inputs,
                targets,
                lambda done, _, before=before: progress(before + done, total, "verifying"),  # type: ignore[misc]
            )
            where = f"path {path_id} of {file.name}"
            if target.precision == "fp32":
                found[path_id].check(where, tolerance)
            else:
                found[path_id].check_accuracy(where, quantised_loss)
    check_caches(read_engine(file), inputs[:_CACHE_EXAMPLES].numpy(), threads=target.threads)
    return found
