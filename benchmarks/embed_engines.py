"""Engines of one trained net for ONNX Runtime and LiteRT, for benchmarks/embed_equal.py.

    tipsc build PROJECT --target host
    python benchmarks/embed_engines.py PROJECT ENGINE -o FOLDER

PROJECT is examples/fashion_mnist or a copy of it, ENGINE what was built for the host. Writes, with
the same weights and paths, FOLDER/mobile-cpu.tipsc and FOLDER/mobile-cpu-int8.tipsc: nothing is
trained or profiled again. Needs the extra `litert-build`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import yaml

from tipsc.compile import Job, compile_candidates
from tipsc.compile.litert import CompiledTflite
from tipsc.elastic import CostModel, family
from tipsc.engine import read_engine
from tipsc.pipeline.manifest import make_manifest
from tipsc.project.target import Target
from tipsc.search.candidates import Candidate
from tipsc.train import calibrate

ROOT = Path(__file__).parents[1]
IMAGES = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("engine", type=Path)
    parser.add_argument("-o", dest="folder", type=Path, required=True)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    model = yaml.safe_load((asked.project / "tipsc.yaml").read_text())["model"]
    supernet = family(model["family"], **model["arguments"])
    (weights,) = asked.project.glob("runs/*/train-*/weights.pt")
    supernet.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    supernet.eval()
    sys.path.insert(0, str(asked.project.resolve()))
    images = torch.as_tensor(np.asarray(__import__("data").load().train.inputs[:IMAGES]))
    costs = CostModel(supernet)
    candidates = []
    for entry in read_engine(asked.engine).manifest.paths:
        path = supernet.space.path(entry.options)
        cost, statistics = costs.of(path), calibrate(supernet, path, [images])
        candidates.append(Candidate(path, None, cost.macs, cost.parameters, statistics))
    for name in ("mobile-cpu", "mobile-cpu-int8"):
        described = yaml.safe_load((ROOT / "targets" / f"{name}.yaml").read_text())
        target = Target.model_validate(described)
        job = Job(target, supernet, candidates, images, asked.folder / "compiled", print)
        result = compile_candidates(job)
        assert isinstance(result, CompiledTflite)
        manifest = make_manifest(name, target, supernet, candidates, result, {})
        result.write(asked.folder / f"{name}.tipsc", manifest)


if __name__ == "__main__":
    main()
