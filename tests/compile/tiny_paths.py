"""Paths of tiny nets, compiled for LiteRT once for all tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path as FilePath

import torch

from tipsc.compile import Job, compile_candidates
from tipsc.compile.litert import CompiledTflite
from tipsc.elastic import CostModel, Supernet, family
from tipsc.paths import Path
from tipsc.pipeline.manifest import make_manifest
from tipsc.project.target import Target
from tipsc.search.candidates import Candidate
from tipsc.train import calibrate

MOBILENET = {
    "classes": 10,
    "input_shape": [1, 8, 8],
    "stem": 8,
    "stem_stride": 1,
    "stages": [{"channels": 16, "depths": [1, 2], "expansions": [2, 4]}],
    "head": 16,
}
TEMPORAL = {
    "classes": 4,
    "input_shape": (3, 16),
    "channels": [8],
    "widths": (1, 2),
    "kernels": (3, 5),
    "depths": (1, 2),
}


def silent(done: float, total: float, note: str = "") -> None:
    return None


def target(precision: str = "fp32") -> Target:
    return Target.model_validate(
        {"name": "tiny", "description": "of a test", "backend": "litert", "precision": precision}
    )


def net(name: str, **arguments: object) -> Supernet:
    """With batch-norm statistics that are not the initial ones."""
    torch.manual_seed(0)
    supernet = family(name, **arguments)
    with torch.no_grad():
        for layer in supernet.modules():
            if hasattr(layer, "running_var") and layer.running_var is not None:
                layer.running_var.uniform_(0.5, 2.0)
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 0.5)
    return supernet.eval()


def candidates_of(supernet: Supernet, paths: Sequence[Path]) -> list[Candidate]:
    images, costs = inputs_of(supernet, 32), CostModel(supernet)
    return [
        Candidate(
            path,
            None,
            costs.of(path).macs,
            costs.of(path).parameters,
            calibrate(supernet, path, [images]),
        )
        for path in paths
    ]


def inputs_of(supernet: Supernet, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *supernet.inputs[0].shape[1:], generator=generator)


def some_paths(supernet: Supernet, count: int) -> list[Path]:
    space, generator = supernet.space, random.Random(0)
    found = {space.largest, space.smallest}
    while len(found) < count:
        found.add(space.sample(generator))
    return sorted(found, key=lambda path: path.id)


def compiled(
    supernet: Supernet,
    candidates: Sequence[Candidate],
    cache: FilePath,
    precision: str = "fp32",
) -> CompiledTflite:
    result = compile_candidates(
        Job(target(precision), supernet, candidates, inputs_of(supernet, 32), cache, silent)
    )
    assert isinstance(result, CompiledTflite)
    return result


def write_engine_of(
    file: FilePath,
    supernet: Supernet,
    candidates: Sequence[Candidate],
    result: CompiledTflite,
    precision: str = "fp32",
) -> FilePath:
    manifest = make_manifest("tiny", target(precision), supernet, candidates, result, {})
    result.write(file, manifest)
    return file
