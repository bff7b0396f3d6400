"""What the norm scale that all paths share costs a model that is no classifier.

    python benchmarks/frozen_scale.py

A small detector (``tests/pipeline/tiny_tasks.py``: convolutions in a chain, no residual), trained,
then four of its paths fine-tuned together for eight epochs, of which the last ones with the shared
scale, which is what lets an engine's paths share their weights. ``own`` is without it: each path
divides by its own variance, and its weights are its own. mAP on test scenes, one seed.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import copy
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "pipeline")]

import tiny_tasks  # noqa: E402
import torch  # noqa: E402

from tipsc.convert import convert  # noqa: E402
from tipsc.train import TrainConfig, anchor, evaluate, quality_of, train  # noqa: E402

EPOCHS, FROZEN = 8, (0, 1, 2, 4, 8)
WIDTHS = (0.25, 0.5, 0.75, 1.0)


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    net, data = tiny_tasks.model("detection").eval(), tiny_tasks.data("detection")
    print(f"original {quality_of(net, data.test, data.judged_by).amount}")
    base = convert(net, data.train.take(range(2)).inputs, widths=WIDTHS)
    anchor(base, data.calibration(512))
    space = base.space
    paths = [
        space.path({c.name: c.options[min(i, len(c.options) - 1)] for c in space.choices})
        for i in range(len(WIDTHS))
    ]
    print(f"{'frozen epochs':>13}  mAP of the paths, all widths {WIDTHS}")
    for frozen in FROZEN:
        supernet = copy.deepcopy(base)
        config = TrainConfig(
            epochs=EPOCHS, frozen_epochs=frozen, batch_size=32, learning_rate=0.003
        )
        with tempfile.TemporaryDirectory() as folder:
            train(supernet, data, config, folder=Path(folder), original=net, paths=paths)
        found = evaluate(supernet, paths, data, split="test", own_scale=not frozen, images=512)
        name = f"{frozen} of {EPOCHS}" if frozen else "own"
        print(f"{name:>13}  " + "  ".join(found[path.id].amount for path in paths), flush=True)


if __name__ == "__main__":
    main()
