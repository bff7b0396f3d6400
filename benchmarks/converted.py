"""How the paths of a trained model are trained best, at equal compute, and against each path alone.

    python benchmarks/converted.py run [--seeds 0-4] [--json benchmarks/results/converted.json]
    python benchmarks/converted.py show

A plain residual net is trained on Fashion-MNIST and converted. For 0.25, 0.4, 0.6 and 0.8 of its
multiply-accumulates a path is chosen before any training step: the best on validation data of those
near the budget, each with its own norm statistics. Then, from the same weights and with the same
compute (PASSES of the largest path over the training images):

    largest   the whole space, the largest path in every step
    one       the whole space, one path a step, drawn by the cost-folded chain
    chosen    the four that ship, one a step, each with as much compute
    alone     each of the four with weights of its own, and a quarter of the compute

Judged are these four on test images; all arms but `alone` with the engine's shared scale, and with
the same share of labels and of the original's answers. Of several RATES
the better one on validation data counts, for each arm. What is there is not done again.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import copy
import json
import math
import platform
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from teacher import data_of, interval  # noqa: E402
from teacher import original as trained_net  # noqa: E402

from tipsc.convert import convert  # noqa: E402
from tipsc.elastic import Supernet, additive_totals  # noqa: E402
from tipsc.factors import Additive  # noqa: E402
from tipsc.paths import Path as Subnet  # noqa: E402
from tipsc.train import Data, Split, TrainConfig, anchor, evaluate, train  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "converted.json"
BUDGETS = (0.25, 0.4, 0.6, 0.8)
ARMS = ("largest", "one", "chosen", "alone")
RATES = (0.003,)
#: compute of an arm: passes of the largest path over the training images
PASSES = (2.5,)
BATCH, EPOCHS, FROZEN = 64, 4, 1
#: paths near a budget that are tried before training
TRIED = 8


@dataclass(frozen=True)
class Fixed:
    """Draws some paths, each with as much compute."""

    paths: Sequence[Subnet]
    weights: Sequence[float]

    def draw(self, generator: random.Random, count: int) -> list[Subnet]:
        return generator.choices(self.paths, self.weights, k=count)


def near(
    supernet: Supernet, macs: Additive, share: float, generator: random.Random
) -> list[Subnet]:
    """Paths of about this share of the largest path's multiply-accumulates, and not more."""
    space, most = supernet.space, macs.of(supernet.space.largest)
    drawn = {space.sample_options(generator) for _ in range(4000)}
    fitting = [path for path in drawn if macs.of(path) <= share * most]
    fitting.sort(key=lambda path: (-macs.of(path), path.id))
    return fitting[:TRIED]


def choose(supernet: Supernet, data: Data, macs: Additive, seed: int) -> list[Subnet]:
    chosen = []
    for share in BUDGETS:
        tried = near(supernet, macs, share, random.Random(seed))
        scores = evaluate(supernet, tried, data)
        chosen.append(max(tried, key=lambda path: (scores[path.id].merit, path.id)))
    return chosen


def steps_of(data: Data, steps: int, seed: int) -> Data:
    """The same data with so many training images that EPOCHS epochs have that many steps."""
    count = max(1, round(steps / EPOCHS)) * BATCH
    chance = torch.Generator().manual_seed(seed)
    rounds = math.ceil(count / len(data.train))
    orders = [torch.randperm(len(data.train), generator=chance) for _ in range(rounds)]
    index = torch.cat(orders)[:count]
    return replace(data, train=Split(data.train.inputs[index], data.train.targets[index]))


def taught(
    start: Supernet, data: Data, original: torch.nn.Module, rate: float, seed: int, steps: float,
    sampler: Fixed | None, *, with_largest: bool = False,
) -> Supernet:  # fmt: skip
    supernet = copy.deepcopy(start)
    settings = TrainConfig(
        epochs=EPOCHS, frozen_epochs=FROZEN, learning_rate=rate, seed=seed, batch_size=BATCH,
        with_largest=with_largest,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        train(
            supernet, steps_of(data, round(steps), seed), settings, sampler,
            folder=Path(folder), original=original,
        )  # fmt: skip
    return supernet


def mean_cost(supernet: Supernet, macs: Additive) -> float:
    """What a path that the chain draws costs, as a share of the largest."""
    from tipsc.train.samplers.folded import make

    drawn = make(supernet, 0).draw(random.Random(0), 2000)  # type: ignore[union-attr]
    return statistics.mean(map(macs.of, drawn)) / macs.of(supernet.space.largest)


def one(seed: int, passes: float) -> dict[str, dict[str, list[float]]]:
    """Test accuracy of the four paths by arm and rate, and their validation accuracy."""
    data = data_of("clothes")
    model = trained_net(data, seed, 6)
    start = convert(model, data.train.inputs[:1])
    anchor(start, data.calibration(1000))
    macs = additive_totals(start)["macs"]
    chosen = choose(start, data, macs, seed)
    whole = passes * len(data.train) / BATCH  # steps of the largest path
    costs = [macs.of(path) / macs.of(start.space.largest) for path in chosen]
    drawn = mean_cost(start, macs)
    even = Fixed(chosen, [1 / cost for cost in costs])
    of_even = len(costs) / sum(1 / cost for cost in costs)
    untrained = evaluate(start, chosen, data, split="test")
    found = {
        "untrained": {"0": [untrained[path.id].value for path in chosen]},
        "costs": {"0": costs},
    }

    def judged(nets: Callable[[Subnet], Supernet], split: str, own: bool = False) -> list[float]:
        return [
            evaluate(nets(path), [path], data, split=split, own_scale=own)[path.id].value
            for path in chosen
        ]

    for arm in ARMS:
        for rate in RATES:
            if arm == "alone":
                nets = {
                    path.id: taught(
                        start, data, model, rate, seed, whole / 4 / cost, Fixed([path], [1.0])
                    )
                    for path, cost in zip(chosen, costs, strict=True)
                }
            else:
                steps = {"largest": whole / (1 + drawn), "one": whole / drawn,
                         "chosen": whole / of_even}[arm]  # fmt: skip
                net_ = taught(
                    start, data, model, rate, seed, steps, even if arm == "chosen" else None,
                    with_largest=arm == "largest",
                )  # fmt: skip
                nets = {path.id: net_ for path in chosen}
            for split in ("validation", "test"):
                key = arm if split == "test" else f"{arm} validation"
                found.setdefault(key, {})[f"{rate:g}"] = judged(
                    lambda path, nets=nets: nets[path.id], split, own=arm == "alone"
                )
    largest = start.space.largest
    found["original"] = {"0": [evaluate(start, [largest], data, split="test")[largest.id].value]}
    return found


def run(file: Path, seeds: range) -> None:
    document = json.loads(file.read_text()) if file.exists() else {}
    document["machine"] = f"{platform.machine()}, torch {torch.__version__}, 1 thread"
    runs = document.setdefault("runs", {})
    for passes in PASSES:
        for seed in seeds:
            of = runs.setdefault(f"{passes:g}", {})
            if str(seed) in of:
                continue
            of[str(seed)] = one(seed, passes)
            file.write_text(json.dumps(document, indent=1) + "\n")
            print(passes, seed, {arm: best(of[str(seed)], arm) for arm in ARMS}, flush=True)


def best(found: dict[str, dict[str, list[float]]], arm: str) -> list[float]:
    """With the rate that is better on validation data, in points."""
    scores = found[f"{arm} validation"]
    rate = max(scores, key=lambda rate: statistics.mean(scores[rate]))
    return [round(100 * value, 2) for value in found[arm][rate]]


def show(file: Path) -> None:
    for passes, by_seed in json.loads(file.read_text())["runs"].items():
        seeds = list(by_seed.values())
        originals = statistics.mean(100 * s["original"]["0"][0] for s in seeds)
        print(f"compute of {passes} passes, {len(seeds)} seeds; original {originals:.2f} %")
        print(f"  {'':<10}" + "".join(f"{budget:>8}" for budget in BUDGETS) + f"{'mean':>8}"
              f"{'against alone':>18}{'against largest':>18}")  # fmt: skip
        rows = {arm: [best(s, arm) for s in seeds] for arm in ARMS}
        for arm, values in rows.items():
            columns = [statistics.mean(column) for column in zip(*values, strict=True)]
            cells = "".join(f"{value:>8.2f}" for value in (*columns, statistics.mean(columns)))
            print(f"  {arm:<10}{cells}{gap(values, rows['alone'])}{gap(values, rows['largest'])}")


def gap(values: list[list[float]], others: list[list[float]]) -> str:
    """Mean difference of the four paths, paired by seed, and its 95 % interval."""
    gaps = [statistics.mean(a) - statistics.mean(b) for a, b in zip(values, others, strict=True)]
    if not any(gaps):
        return f"{'':>18}"
    return f"{interval(gaps):>18}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--json", type=Path, default=RESULT)
    arguments = parser.parse_args()
    if arguments.what == "run":
        first, _, last = arguments.seeds.partition("-")
        run(arguments.json, range(int(first), int(last or first) + 1))
    else:
        show(arguments.json)
