"""What one batch-norm scale for all paths costs: ``python benchmarks/shared_scale.py``.

The demo's supernet is trained on the demo's images as ``tipsc build`` trains it, with the end
phase in which all paths share their scales ("phase"). Then 12 random paths and both extremes are
judged with the same weights twice: with the shared scale and a bias of their own, which is what an
engine ships, and with statistics wholly of their own. The difference has bars.

The two disagree on some images in a hundred, so on 10,000 test images chance alone moves the
difference of a path by about 0.2 points, and the worst of 14 by more. So they are judged on all of
Fashion-MNIST's 70,000 images (Debian: dataset-fashion-mnist) that the training did not see, some
58,000; ``--images-from test`` takes the 10,000 of its test set alone.

``--plain`` also trains without the phase ("plain"): the scales are averaged at the end, and
nothing adapts to them. That shows what the phase is good for, and what it costs those that own a
scale. What is done already is in ``--folder``, and is not done again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy start their threads

import argparse
import copy
import dataclasses
import json
import math
import random
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path as File
from typing import Any

import torch
from figures import machine
from rich.console import Console
from rich.table import Table

from tipsc.elastic import Supernet
from tipsc.engine.atomic import write_atomically
from tipsc.paths import Path
from tipsc.project.config import load_config
from tipsc.project.loading import load_data, make_supernet
from tipsc.train import Data, History, Split, TrainConfig, evaluate, share_scales, train
from tipsc.train.scales import spread_paths

ROOT = File(__file__).resolve().parent.parent
DEMO = ROOT / "examples" / "fashion_mnist"
RANDOM_PATHS = 12
MEAN_BAR, WORST_BAR = 0.2, 0.5  # points of accuracy
AROUND = 50  # steps before and after the freeze, whose losses are compared


def trained(settings: TrainConfig, data: Data, folder: File) -> tuple[Supernet, History]:
    """The demo's supernet after training, or after the rest of it that is not in the folder."""
    config, where = load_config(DEMO)
    with torch.random.fork_rng():
        supernet = make_supernet(config, where)
    return supernet, train(supernet, data, settings, folder=folder)


def paths_of(supernet: Supernet) -> list[Path]:
    """Both extremes and random paths, all different; the same for every training."""
    space, chance = supernet.space, random.Random(0)
    found = {path.id: path for path in (space.smallest, space.largest)}
    while len(found) < RANDOM_PATHS + 2:
        path = space.sample_options(chance)
        found.setdefault(path.id, path)
    return list(found.values())


def judged(
    supernet: Supernet, data: Data, test: Split, file: File, images: int
) -> dict[str, dict[str, float]]:
    """Accuracy in % of each path with "own" and "shared" scale; kept in the file."""
    data = dataclasses.replace(data, test=test)
    rows: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    for path in paths_of(supernet):
        if path.id in rows:
            continue
        row = {}
        for name, own in (("own", True), ("shared", False)):
            found = evaluate(supernet, [path], data, split="test", own_scale=own, images=images)
            row[name] = 100 * found[path.id].value
        rows[path.id] = row
        write_atomically(file, [json.dumps(rows).encode()])
    return rows


def with_averaged_scales(supernet: Supernet, data: Data, images: int) -> Supernet:
    """A copy whose scales are shared without any training after it."""
    found = copy.deepcopy(supernet)
    share_scales(found, data.calibration(images), spread_paths(found.space, random.Random(0)))
    return found


def losses(rows: dict[str, dict[str, float]]) -> list[float]:
    return [row["own"] - row["shared"] for row in rows.values()]


def jump(history: History, settings: TrainConfig) -> dict[str, float]:
    """Training loss around the freeze, and at the end."""
    steps = [record.loss for record in history.steps]
    freeze = round(len(steps) * (1 - settings.frozen_epochs / settings.epochs))
    return {
        "before": mean(steps[freeze - AROUND : freeze]),
        "first_ten": mean(steps[freeze : freeze + 10]),
        "after": mean(steps[freeze : freeze + AROUND]),
        "end": mean(steps[-AROUND:]),
        "learning_rate": history.steps[freeze].learning_rate,
    }


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def study(seed: int, folder: File, images: int, plain: bool, judge: str) -> dict[str, Any]:
    """The trainings of a seed."""
    config, where = load_config(DEMO)
    data = load_data(config, where)
    test = whole_data().test if judge == "test" else unseen(data)
    settings = dataclasses.replace(config.training, seed=seed, threads=1)
    here = folder / f"seed-{seed}"
    supernet, history = trained(settings, data, here / "phase")
    kinds = {"phase": judged(supernet, data, test, here / f"phase-{judge}.json", images)}
    if plain:
        settings_plain = dataclasses.replace(settings, frozen_epochs=0)
        supernet, _ = trained(settings_plain, data, here / "plain")
        averaged = with_averaged_scales(supernet, data, images)
        kinds["plain"] = judged(averaged, data, test, here / f"plain-{judge}.json", images)
    return {
        "seed": seed,
        "images": len(test.inputs),
        "loss_at_freeze": jump(history, settings),
        "paths": kinds,
    }


def whole_data() -> Data:
    """All 70,000 images. The demo's own data has 2,000 to test on: too few for these bars."""
    config, where = load_config(DEMO)
    whole = config.data.model_copy(update={"arguments": {"full": True}})
    try:
        return load_data(config.model_copy(update={"data": whole}), where)
    except FileNotFoundError as error:
        raise SystemExit(f"{error}: apt-get install dataset-fashion-mnist") from error


def unseen(seen: Data) -> Split:
    """All images that are in neither the training nor the validation split of `seen`."""

    def keys(split: Split) -> list[bytes]:
        return [image.tobytes() for image in split.inputs.numpy()]

    taken = {key for split in (seen.train, seen.validation) for key in keys(split)}
    whole = whole_data()
    splits = (whole.test, whole.train, whole.validation)
    every = Split(
        torch.cat([split.inputs for split in splits]),
        torch.cat([split.targets for split in splits]),
    )
    kept = torch.tensor([key not in taken for key in keys(every)])
    return Split(every.inputs[kept], every.targets[kept])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=File, metavar="FILE", help="write the figures there too")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each kind (1)")
    parser.add_argument("--plain", action="store_true", help="train without the phase too")
    parser.add_argument("--images", type=int, default=2048, help="for calibration (2048)")
    parser.add_argument("--images-from", choices=("unseen", "test"), default="unseen")
    parser.add_argument("--folder", type=File, default=ROOT / "build" / "shared_scale")
    arguments = parser.parse_args()
    studies = [
        study(seed, arguments.folder, arguments.images, arguments.plain, arguments.images_from)
        for seed in range(arguments.seeds)
    ]
    table = Table(title="points of test accuracy lost by the shared scale")
    for column in ("seed", "training", "own %", "shared %", "mean loss", "worst loss"):
        table.add_column(column, justify="left" if column == "training" else "right")
    is_missed = False
    for found in studies:
        for kind, rows in found["paths"].items():
            average, worst = mean(losses(rows)), max(losses(rows))
            missed = kind == "phase" and (average > MEAN_BAR or worst > WORST_BAR)
            is_missed |= missed
            table.add_row(
                str(found["seed"]),
                kind,
                *(
                    f"{mean([row[scale] for row in rows.values()]):.2f}"
                    for scale in ("own", "shared")
                ),
                f"{average:+.2f}",
                f"{worst:+.2f}" + ("  MISSED" if missed else ""),
            )
    table.caption = (
        f"{RANDOM_PATHS} random paths and both extremes on {studies[0]['images']:,} images;"
        f" bars of phase: mean {MEAN_BAR}, worst {WORST_BAR}"
    )
    console = Console()
    console.print(table)
    for found in studies:
        around = found["loss_at_freeze"]
        console.print(
            f"seed {found['seed']}: training loss {around['before']:.3f} in {AROUND} steps before"
            f" the freeze, {around['after']:.3f} after it, {around['end']:.3f} at the end"
        )
    if arguments.json:
        command = shlex.join(["python", "benchmarks/shared_scale.py", *sys.argv[1:]])
        about = {**machine(), "torch": torch.__version__}
        report = {
            "command": command,
            "machine": about,
            "bars": {"mean": MEAN_BAR, "worst": WORST_BAR},
            "studies": studies,
        }
        write_atomically(arguments.json, [(json.dumps(report, indent=1) + "\n").encode()])
    return int(is_missed)


if __name__ == "__main__":
    raise SystemExit(main())
