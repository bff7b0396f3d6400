"""What ``benchmarks/gpu.py`` runs: engines of real size, and what they compute on the CPU.

    python benchmarks/gpu_engines.py FOLDER

Needs torch, onnx and ONNX Runtime, and no GPU; the machine with the GPU then needs none of them.
Of each model, in fp32 and fp16: ``NAME.tipsc``, unbuilt; ``NAME.npz``, an input and the outputs of
each path in ONNX Runtime; ``NAME.onnx.PATHS``, the paths that differ in depth only as one graph.
Weights are random, rounded to few values: so the files pack well, and nothing else depends on it.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path as File

import numpy as np
import torch
from depth_engines import MODELS, depths, drawn, lower_plain, make_supernet, write_unbuilt
from torch import nn

from tipsc.backends.tensorrt.merge import depth_groups, merge_graphs
from tipsc.device.plans import write_with_plans
from tipsc.engine import read_engine
from tipsc.engine.plan import plan_name
from tipsc.lower.half import to_half
from tipsc.runtime import Engine

#: paths beyond those that differ in depth only
MORE = {"MobileNetV2": 5}
_LEVELS = 8  # of a weight, on each side of zero


def write_all(folder: File) -> None:
    for name in MODELS:
        supernet = make_supernet(name)
        coarsen(supernet)
        paths = depths(supernet)
        others = drawn(supernet, MORE[name] + 3) if name in MORE else []
        known = {path.id for path in paths}
        paths += [path for path in others if path.id not in known][: MORE.get(name, 0)]
        lowered = lower_plain(supernet, paths)
        for precision, graphs in (("fp32", lowered), ("fp16", to_half(lowered))):
            file = folder / f"{file_name(name)}-{precision}.tipsc"
            write_unbuilt(file, supernet, paths, graphs, precision)
            write_beside(file)


def coarsen(model: nn.Module) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                step = weight.abs().max() / _LEVELS
                weight.copy_((weight / step).round() * step)


def file_name(model: str) -> str:
    return model.lower().replace("/", "-")


def write_beside(file: File) -> None:
    """Writes the outputs of each path, and the graph of several depths, beside an engine."""
    engine = read_engine(file)
    graphs = {path.id: engine.graph(path.id) for path in engine.manifest.paths}
    for group in depth_groups(graphs):
        merged = merge_graphs([graphs[path] for path in group])
        file.with_suffix(f".onnx.{plan_name(group)}").write_bytes(merged)
    generator = np.random.default_rng(0)
    inputs = [
        generator.standard_normal(spec.shape).astype(spec.dtype)
        for spec in engine.manifest.signature.inputs
    ]
    found = {f"input.{place}": array for place, array in enumerate(inputs)}
    with tempfile.TemporaryDirectory() as folder:
        portable = File(folder) / file.name
        manifest = replace(engine.manifest, backend="onnxruntime", recipe={})
        write_with_plans(portable, manifest, engine, ())
        with Engine.open(portable) as here:
            gives = engine.manifest.signature.gives
            for path in graphs:
                answer = gives.flat(here.run(inputs, path=path), "the output")
                found.update((f"{path}.{place}", array) for place, array in enumerate(answer))
    np.savez(file.with_suffix(".npz"), **found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=File)
    parser.add_argument("--engine", type=File, help="only what belongs beside this one")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.engine:
        copy = arguments.folder / arguments.engine.name
        copy.write_bytes(arguments.engine.read_bytes())
        write_beside(copy)
    else:
        write_all(arguments.folder)


if __name__ == "__main__":
    main()
