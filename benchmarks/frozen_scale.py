"""What it costs that all paths divide by the same variances, and what one number a norm gives back.

    python benchmarks/frozen_scale.py run [NET ...] [--seeds 0-1]
    python benchmarks/frozen_scale.py show

Four paths of a trained net are fine-tuned together, and judged on test examples, in three ways:

    own      each path divides by its own variances, and so has weights of its own in an engine
    shared   all divide by the same variances in the last quarter of the training and afterwards
    every    likewise, times one number for each norm and path
    ratio    likewise for the norms where that costs an engine little: what tipsc does; all norms
             of a net with ReLU

NETs are two of `benchmarks/narrowing.py` (2.5 passes over the data at a rate of 0.003, paths of
0.25 to 0.8 of the multiply-accumulates), and `detector` (``tests/pipeline/tiny_tasks.py``: a chain
of convolutions, no residual; eight epochs; mAP), also with scales shared in all epochs ("all") and
with SiLU in place of ReLU (`detector-silu`).
Rows go to `benchmarks/results/frozen_scale.csv`; what is there is not run again.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import copy
import csv
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "pipeline")]

import narrowing  # noqa: E402
import tiny_tasks  # noqa: E402

from tipsc.convert import convert  # noqa: E402
from tipsc.elastic import give_ratios  # noqa: E402
from tipsc.train import TrainConfig, anchor, evaluate, scales, train  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "frozen_scale.csv"
COLUMNS = ("net", "seed", "way", "test")
#: which share of the training has shared scales, and which norms have ratios
WAYS = {
    "own": (0.0, "none"),
    "shared": (0.25, "none"),
    "every": (0.25, "every"),
    "ratio": (0.25, "some"),
    "shared, all": (1.0, "none"),
    "every, all": (1.0, "every"),
    "ratio, all": (1.0, "some"),
}
NETS = ("detector", "detector-silu", "resnet-small", "mobile")
WITH_RELU = ("detector", "resnet-small")
WIDTHS = (0.25, 0.5, 0.75, 1.0)


@contextmanager
def ratios(wanted: str) -> Iterator[None]:
    """Inside, no norm has a ratio, some have, or every one."""
    before = scales.settle_ratios
    try:
        if wanted != "some":
            scales.settle_ratios = lambda net: give_ratios(
                net, {name for name, _ in net.named_modules() if wanted == "every"}
            )
        yield
    finally:
        scales.settle_ratios = before


def with_silu(net: nn.Module) -> nn.Module:
    for layer in list(net.modules()):
        for name, inner in layer.named_children():
            if isinstance(inner, nn.ReLU):
                setattr(layer, name, nn.SiLU())
    return net


def detector(name: str, seed: int) -> Callable[[float], list[float]]:
    net, data = tiny_tasks.model("detection").eval(), tiny_tasks.data("detection")
    net = with_silu(net) if name.endswith("silu") else net
    base = convert(net, data.train.take(range(2)).inputs, widths=WIDTHS)
    anchor(base, data.calibration(512))
    space = base.space
    paths = [
        space.path({c.name: c.options[min(i, len(c.options) - 1)] for c in space.choices})
        for i in range(len(WIDTHS))
    ]

    def run(frozen: float) -> list[float]:
        supernet = copy.deepcopy(base)
        config = TrainConfig(
            epochs=8, frozen_epochs=round(8 * frozen), batch_size=32, learning_rate=0.003, seed=seed
        )
        with tempfile.TemporaryDirectory() as folder:
            train(supernet, data, config, folder=Path(folder), original=net, paths=paths)
        found = evaluate(supernet, paths, data, split="test", own_scale=not frozen, images=512)
        return [found[path.id].value for path in paths]

    return run


def classifier(study: str, seed: int) -> Callable[[float], list[float]]:
    setting = narrowing.Setting(study, "trained", 2.5, 4, 0.003, seed)
    paths = setting.choose(setting.supernet, own_scale=True)

    def run(frozen: float) -> list[float]:
        narrowing.FROZEN = round(narrowing.EPOCHS * frozen)
        net = setting.train(setting.supernet, setting.compute, paths, frozen=frozen > 0)
        return setting.scores(net, paths, "test", frozen == 0)

    return run


def run(nets: list[str], seeds: range, file: Path) -> None:
    for seed in seeds:
        for name in nets:
            make: Callable[[float], list[float]] | None = None
            for way, (frozen, wanted) in WAYS.items():
                done = {(r["net"], r["seed"], r["way"]) for r in narrowing.rows(file)}
                detects = name.startswith("detector")
                if (
                    (name, str(seed), way) in done
                    or (not detects and "all" in way)
                    or (name in WITH_RELU and "every" in way)
                ):
                    continue
                if make is None:
                    make = detector(name, seed) if detects else classifier(name, seed)
                with ratios(wanted):
                    scores = narrowing.joined(make(frozen))
                fresh = not file.exists()
                with file.open("a", newline="") as stream:
                    writer = csv.writer(stream)
                    if fresh:
                        writer.writerow(COLUMNS)
                    writer.writerow((name, seed, way, scores))
                print(name, seed, way, scores, flush=True)


def show(file: Path) -> None:
    found = narrowing.rows(file)
    print(f"{'net':<15}{'way':<13}seeds   paths, cheapest first         mean")
    for name in NETS:
        for way in WAYS:
            tests = [
                narrowing.numbers(row["test"])
                for row in found
                if (row["net"], row["way"]) == (name, way)
            ]
            if tests:
                means = [statistics.mean(column) for column in zip(*tests, strict=True)]
                figures = "  ".join(f"{figure:5.2f}" for figure in means)
                mean = statistics.mean(means)
                print(f"{name:<15}{way:<13}{len(tests):>5}   {figures}   {mean:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    parser.add_argument("--seeds", default="0-1")
    parser.add_argument("--csv", type=Path, default=RESULT)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    if given.what == "show":
        show(given.csv)
        return
    first, _, last = given.seeds.partition("-")
    run(given.nets or list(NETS), range(int(first), int(last or first) + 1), given.csv)


if __name__ == "__main__":
    main()
