"""What stands for TensorRT and CUDA, built; and engines of it. No GPU: nothing of one is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from building import TENSORRT, run
from engines import WIDTH, entry, graph

from tipsc.engine import DevicePlan, Manifest, write_engine
from tipsc.engine.plan import switch_names
from tipsc.signature import Signature, TensorSpec

BUILT = {"module": "tensorrt", "version": "10.3.0", "compute capability": "8.7"}
SIGNATURE = Signature.plain(
    [TensorSpec("x", "float32", (1, 8), "N-"), TensorSpec("n", "int64", (1,), "N")],
    [
        TensorSpec("y", "float32", (1, WIDTH), "N-"),
        TensorSpec("above", "bool", (1, WIDTH), "N-"),
        TensorSpec("most", "float32", (), ""),
    ],
)
#: names in plans of numpy's types
TYPES = {"float32": "kFLOAT", "int64": "kINT64", "bool": "kBOOL"}
WEIGHTS = np.random.default_rng(0).standard_normal((8, WIDTH)).astype(np.float32)


def libraries(folder: Path) -> Path:
    """libnvinfer, as a file; the parser and CUDA stand beside it."""
    cuda, library = folder / "libcudart.so.12", folder / "libnvinfer.so.10"
    shared = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    run(["cc", *shared, f"-Wl,-soname,{cuda.name}", "-o", str(cuda), str(TENSORRT / "cudart.c")])
    options = ["-std=c++17", f"-I{TENSORRT / 'include'}", "-Wl,-rpath,$ORIGIN"]
    source = str(TENSORRT / "nvinfer.cpp")
    run(["c++", *shared, *options, "-o", str(library), source, str(cuda)])
    (folder / "libnvonnxparser.so.10").symlink_to(library.name)
    return library


def plan(
    *paths: str,
    factors: Sequence[int] = (),
    batch: int = 1,
    memory: int = 512,
    place: str = "device",
    types: Mapping[str, str] = TYPES,
    signature: Signature = SIGNATURE,
) -> DevicePlan:
    """A plan for these paths, as tests/embed/tensorrt_stand_in/nvinfer.cpp reads it.

    Args:
        factors: of each path; none: the plan is stripped.
        place: of its switches.
        types: names in the plan of numpy's types.
    """
    lines = [f"memory {memory}", f"factors {' '.join(map(str, factors))}"]
    if not factors:
        lines[1] = "stripped"
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            shape = spec.with_batch(batch).shape
            axes = "x".join(map(str, shape)) or "-"
            lines.append(f"{kind} {spec.name} {types[spec.dtype]} {axes} device")
    lines += [f"input {name} kBOOL - {place}" for name in switch_names(len(paths))]
    return DevicePlan(paths, "\n".join(lines).encode())


def finished(
    file: Path,
    plans: Sequence[DevicePlan],
    *,
    batches: Mapping[str, int] | None = None,
    signature: Signature = SIGNATURE,
    **built: str,
) -> Path:
    """An engine with these plans; without any it is unbuilt.

    Args:
        batches: of its paths that take more than one example.
        built: what differs from :data:`BUILT`, with ``_`` for a blank.
    """
    many = batches or {}
    names = [name for plan in plans for name in plan.paths] or ["a"]
    paths = tuple(entry(name, many.get(name, 1), at + 1.0) for at, name in enumerate(names))
    manifest = Manifest("stand-in", "jetson", "tensorrt", signature, paths, [], recipe={"p": "x"})
    if plans:
        said = {key.replace("_", " "): value for key, value in built.items()}
        manifest = replace(manifest, built={**BUILT, **said})
    else:
        manifest = replace(manifest, paths=tuple(replace(p, latency=None) for p in paths))
    graphs = {name: graph(many.get(name, 1), WEIGHTS) for name in names}
    write_engine(file, manifest, bytearray(WEIGHTS.tobytes()), graphs, plans)
    return file
