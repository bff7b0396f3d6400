"""An application that embeds the engine: it says call by call how much time it has.

Usage: python app.py [ENGINE]

It needs numpy and tipsc's runtime, no torch. Three budgets are tried: just enough for the fastest
path, the middle of the range, and plenty. The governor follows the device when it slows down.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tipsc.runtime import Engine, Governor

HERE = Path(__file__).resolve().parent
IMAGES = 1000


def images() -> tuple[np.ndarray, np.ndarray]:
    """Test images as the engine takes them, (N, 1, 1, 28, 28), and their classes."""
    with np.load(HERE / "data.npz", allow_pickle=False) as arrays:
        pixels, labels = arrays["test_images"], arrays["test_labels"]
    some = np.random.default_rng(0).permutation(len(pixels))[:IMAGES]
    inputs = (pixels[some].astype(np.float32) / 255 - 0.286) / 0.353
    return inputs[:, None, None], labels[some]


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "fashion_mnist-host.tipsc"
    inputs, labels = images()
    with Engine.open(file) as engine:
        latencies = [path.latency.p95_ms for path in engine.paths if path.latency]
        budgets = (1.2 * latencies[0], (latencies[0] * latencies[-1]) ** 0.5, 1.5 * latencies[-1])
        names = engine.manifest.names
        print(f"{file.name}: {len(engine.paths)} paths, {IMAGES} images at each budget")
        for budget_ms in budgets:
            governor = Governor(engine, fallback="fastest")
            results = [governor.run(x, budget_ms=budget_ms) for x in inputs]
            classes = np.array([result.output.argmax() for result in results])
            elapsed = np.array([result.elapsed_ms for result in results])
            in_time = np.mean([result.in_time for result in results])
            used = " ".join(sorted({names.get(r.path.id, r.path.id) for r in results}))
            print(
                f"  budget {budget_ms:7.4f} ms: {np.mean(classes == labels):6.1%} right, "
                f"p50 {np.median(elapsed):7.4f} ms, {in_time:6.1%} in time, paths {used}"
            )


if __name__ == "__main__":
    main()
