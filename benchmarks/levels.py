"""What the numbers that norms have of their own take of a path's time in ONNX Runtime.

    python benchmarks/levels.py [--calls 3000]

The smallest and the largest path of plain nets (`benchmarks/compare/nets.py`, random weights), each
lowered with ratios of 1 and with random ones of 0.6 to 1.2; calls take turns, 15th percentiles.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from compare.nets import PLAIN  # noqa: E402

from tipsc.convert import convert  # noqa: E402
from tipsc.elastic import Statistics, extract, norms_with_ratio  # noqa: E402
from tipsc.lower import LOCATION, lower  # noqa: E402

NETS = {
    "resnet-small": (1, 1, 14, 14),
    "cifar-resnet": (1, 3, 32, 32),
    "mobile": (1, 1, 14, 14),
    "cifar-mobile": (1, 3, 32, 32),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=3000)
    calls = parser.parse_args().calls
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    for name, shape in NETS.items():
        supernet = convert(PLAIN[name].net().eval(), torch.randn(shape))
        for path in (supernet.space.smallest, supernet.space.largest):
            module, chance = extract(supernet, path), random.Random(0)
            norms = norms_with_ratio(supernet) & dict(module.named_modules()).keys()
            own = Statistics(
                path.id, ratio={norm: chance.uniform(0.6, 1.2) for norm in sorted(norms)}
            )
            sessions = []
            with tempfile.TemporaryDirectory() as folder:
                for statistics in (Statistics(path.id), own):
                    lowered, file = lower(supernet, [path], {path.id: statistics}), Path(folder)
                    (file / LOCATION).write_bytes(lowered.weights)
                    (file / "path.onnx").write_bytes(lowered.graphs[path.id])
                    sessions.append(onnxruntime.InferenceSession(file / "path.onnx", options))
            feed = {sessions[0].get_inputs()[0].name: np.random.randn(*shape).astype(np.float32)}
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(calls):
                for session, taken in zip(sessions, times, strict=True):
                    begun = time.perf_counter()
                    session.run(None, feed)
                    taken.append(1e6 * (time.perf_counter() - begun))
            without, with_ratios = (float(np.percentile(taken, 15)) for taken in times)
            print(
                f"{name:<14}{'smallest' if path == supernet.space.smallest else 'largest':<10}"
                f"{without:8.1f} us {with_ratios:8.1f} us   x {with_ratios / without:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
