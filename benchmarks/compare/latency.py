"""What the candidates of a study cost when an engine runs them on this machine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path as FilePath

import torch

from compare.studies import Study, candidates
from tipsc.device.measuring import ThisMachine
from tipsc.elastic import CostModel
from tipsc.lower import lower
from tipsc.pipeline.manifest import make_manifest
from tipsc.profile import read_system
from tipsc.project.target import load_target
from tipsc.search.candidates import Candidate
from tipsc.train import calibrate


def latencies(study: Study, file: FilePath) -> dict[str, float]:
    """p50 in milliseconds by path id; from `file`, or measured and written there."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(_measure(study), indent=1) + "\n")
    found: dict[str, float] = json.loads(file.read_text())["p50_ms"]
    return found


def _measure(study: Study) -> dict[str, object]:
    supernet, data = study.supernet(0).eval(), study.data()
    costs, found = CostModel(supernet), []
    batches = data.calibration(256)
    for path in candidates(study):
        cost = costs.of(path)
        statistics = calibrate(supernet, path, batches)
        found.append(Candidate(path, None, cost.macs, cost.parameters, statistics))
    target = load_target("host")
    lowered = lower(supernet, [c.path for c in found], {c.path.id: c.statistics for c in found})
    with tempfile.TemporaryDirectory() as folder:
        engine = FilePath(folder) / "engine.tipsc"
        lowered.write(engine, make_manifest("compare", target, supernet, found, lowered, {}))
        example = data.validation.inputs[:1].numpy()
        _, samples = ThisMachine().measure(engine, target, example, 0, lambda *_: None, None)
    measured = samples.summarise()
    return {
        "cpu": read_system().cpu,
        "torch": torch.__version__,
        "noise_floor": measured.noise_floor.median,
        "p50_ms": {name: latency.p50_ms for name, latency in measured.latencies.items()},
    }
