"""From calibrated paths to an engine file whose every path was compared with torch."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import torch

from tipsc import __version__
from tipsc.backends import check_caches
from tipsc.compile import Compiled
from tipsc.device.measuring import Device, ThisMachine
from tipsc.elastic import Supernet, extract
from tipsc.engine import Manifest, PathEntry, TensorSpec, read_engine
from tipsc.errors import VerificationError
from tipsc.lower import MOST_LOST, Difference, check_distinct, run_both
from tipsc.profile import Protocol, Samples
from tipsc.progress import Progress
from tipsc.project.target import Target
from tipsc.search.candidates import Candidate
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


def with_accuracies(
    manifest: Manifest, accuracies: Mapping[str, float], metric: str = "accuracy"
) -> Manifest:
    """The manifest with accuracies on the test set, by path id, and what they are."""
    paths = tuple(replace(path, accuracy=accuracies[path.id]) for path in manifest.paths)
    return replace(manifest, paths=paths, metric=metric)


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
    device: Device | None = None,
) -> tuple[Protocol, Samples]:
    """Times of each path of an engine on a device, and the target's protocol for it.

    Args:
        only: ids of the paths to measure; all if not given.
        device: this machine if not given.
    """
    device = ThisMachine() if device is None else device
    return device.measure(file, target, example.numpy(), seed, progress, only)


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
    device: Device | None = None,
) -> dict[str, Difference]:
    """Compares each path of an engine with the extracted torch subnetwork.

    Args:
        split: with known targets, so that the engine's accuracy is measured as well.
        limit: how many examples of it to use.
        tolerance: of a path in fp32.
        quantised_loss: most accuracy that a path in int8 or fp16 may lose.
        device: this machine if not given.

    Raises:
        VerificationError: one differs by more than `tolerance`, or loses too much accuracy, or
            computes what another does, or something else with the backend's caches than without;
            or the engine has other paths than the candidates.
    """
    ids = [candidate.path.id for candidate in candidates]
    engine = read_engine(file)
    unknown = {path.id for path in engine.manifest.paths} ^ set(ids)
    if unknown:
        raise VerificationError(
            "the engine has other paths than were compiled",
            where=file.name,
            got=f"path {min(unknown)}, which is in one of both",
            fix="do not ship this engine; build it again",
        )
    inputs, targets = split.inputs[:limit], split.targets[:limit]
    total = len(candidates) * len(inputs)
    found, outputs = {}, {}
    device = ThisMachine() if device is None else device
    with device.opened(file, target, ids, inputs.numpy()) as run:
        for index, candidate in enumerate(candidates):
            path_id, before = candidate.path.id, index * len(inputs)
            where = f"path {path_id} of {file.name}"
            outputs[path_id] = run_both(
                lambda example, path=path_id: run(example, path),  # type: ignore[misc]
                extract(supernet, candidate.path, candidate.statistics),
                inputs,
                lambda done, _, before=before: progress(before + done, total, "verifying"),  # type: ignore[misc]
                where,
            )
            found[path_id] = outputs[path_id].difference(targets)
            if target.precision == "fp32":
                found[path_id].check(where, tolerance)
            else:
                found[path_id].check_rounded(where, quantised_loss)
    if target.precision != "fp32":
        check_distinct(outputs, file.name)
    check_caches(engine, inputs[:_CACHE_EXAMPLES].numpy(), threads=target.threads)
    return found
