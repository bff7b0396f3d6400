"""What the paths of a trained model should learn: its answers, the labels, or both.

    python benchmarks/teacher.py run [--seeds 0-3] [--json benchmarks/results/teacher.json]
    python benchmarks/teacher.py show

A plain residual net is trained, converted, and its paths are fine-tuned from the same weights with
shares of the loss against the original's answers from 0 (labels alone) to 1 (answers alone), with
all else as a build does it. Judged are four paths (the smallest, two between by MACs, the largest)
on test images, with the engine's shared scale. Differences are paired by seed against a share of 1.
What is there is not done again. `noisy` has a fifth of the training labels of the fine-tuning
replaced by chance; its original learned from clean ones.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import math
import platform
import random
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "examples" / "fashion_mnist"))

from compare.nets import residual  # noqa: E402
from data import load  # noqa: E402

from tipsc.convert import convert  # noqa: E402
from tipsc.elastic import additive_totals  # noqa: E402
from tipsc.search.candidates import draw_spread  # noqa: E402
from tipsc.tasks import Classification  # noqa: E402
from tipsc.train import Data, Split, TrainConfig, Unlabelled, anchor, evaluate, train  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "teacher.json"
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
STUDIES = ("clothes", "clothes-few", "clothes-noisy", "digits")
#: of Student's t, 95 %, by degrees of freedom
T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36}


def data_of(study: str) -> Data:
    if study == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
        labels = torch.tensor(digits.target)
        ends = ((0, 1000), (1000, 1300), (1300, 1797))
        return Data(
            *(Split(images[a:b], labels[a:b]) for a, b in ends), Classification(tuple("0123456789"))
        )
    full = load()

    def smaller(split: Split) -> Split:  # 14x14 pixels: a quarter of the time
        return Split(F.avg_pool2d(split.inputs, 2), split.targets)

    return replace(full, **{n: smaller(getattr(full, n)) for n in ("train", "validation", "test")})


def fine_tuned_on(data: Data, study: str, seed: int) -> Data:
    chance = torch.Generator().manual_seed(seed)
    if study == "clothes-few":
        few = torch.randperm(len(data.train), generator=chance)[:1000]
        return replace(data, train=Split(data.train.inputs[few], data.train.targets[few]))
    if study == "clothes-noisy":
        wrong = torch.rand(len(data.train), generator=chance) < 0.2
        others = torch.randint(0, len(data.task.classes), (len(data.train),), generator=chance)
        return replace(
            data, train=Split(data.train.inputs, torch.where(wrong, others, data.train.targets))
        )
    return data


def original(data: Data, seed: int, epochs: int) -> nn.Module:
    torch.manual_seed(seed)
    model = residual(1, len(data.task.classes), (16, 32), 2).train()
    optimizer = torch.optim.AdamW(model.parameters(), 0.005, weight_decay=0.05)
    steps = epochs * (len(data.train) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.005, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(data.train))
        for index in order[: len(order) // 64 * 64].split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(data.train.inputs[index]), data.train.targets[index]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def one(study: str, seed: int) -> dict[str, list[float]]:
    """Accuracy of each path by share of the teacher; "original" has the original's own."""
    data = data_of(study)
    model = original(data, seed, 20 if study == "digits" else 6)
    right = Unlabelled(*(getattr(data, n).inputs for n in ("train", "validation", "test")))
    answers = right.answered_by(model).test.targets
    found = {"original": [float((answers == data.test.targets).float().mean())]}
    taught = fine_tuned_on(data, study, seed)
    for share in SHARES:
        supernet = convert(model, data.train.inputs[:1])
        anchor(supernet, taught.calibration(1000))
        epochs = 12 if len(taught.train) <= 1000 else 3
        settings = TrainConfig(
            epochs=epochs, frozen_epochs=1, learning_rate=0.003, seed=seed, with_largest=True,
            teacher_share=share,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            train(supernet, taught, settings, folder=Path(folder), original=model)
        macs = additive_totals(supernet)["macs"]
        paths = sorted(draw_spread(supernet.space, macs, 4, random.Random(0)), key=macs.of)
        accuracies = evaluate(supernet, paths, taught, split="test")
        found[f"{share:g}"] = [accuracies[path.id].value for path in paths]
    return found


def run(file: Path, seeds: range) -> None:
    document = json.loads(file.read_text()) if file.exists() else {}
    document["machine"] = f"{platform.machine()}, torch {torch.__version__}, 1 thread"
    runs = document.setdefault("runs", {})
    for seed in seeds:
        for study in STUDIES:
            if str(seed) in runs.setdefault(study, {}):
                continue
            runs[study][str(seed)] = one(study, seed)
            file.write_text(json.dumps(document, indent=1) + "\n")
            print(
                study,
                seed,
                {k: round(statistics.mean(v), 4) for k, v in runs[study][str(seed)].items()},
                flush=True,
            )


def interval(gaps: list[float]) -> str:
    """The mean of differences paired by seed, and its 95 % interval; one seed has none."""
    if len(gaps) == 1:
        return f"{gaps[0]:+.2f} (1 seed)"
    spread = T95[len(gaps) - 1] * statistics.stdev(gaps) / math.sqrt(len(gaps))
    return f"{statistics.mean(gaps):+.2f} ± {spread:.2f}"


def show(file: Path) -> None:
    runs = json.loads(file.read_text())["runs"]
    print(
        "points against the original's answers alone (share 1): mean of four paths, 95 % interval"
    )
    head = "".join(f"{f'share {share:g}':>16}" for share in SHARES[:-1])
    print(f"{'study':<15}{'seeds':>6}{'original':>10}{'share 1':>9}{head}")
    for study, by_seed in runs.items():
        seeds = list(by_seed.values())
        mean = {key: [100 * statistics.mean(s[key]) for s in seeds] for key in seeds[0]}
        cells = ""
        for share in SHARES[:-1]:
            gaps = [a - b for a, b in zip(mean[f"{share:g}"], mean["1"], strict=True)]
            cells += f"{interval(gaps):>16}"
        print(
            f"{study:<15}{len(seeds):>6}{statistics.mean(mean['original']):>10.2f}"
            f"{statistics.mean(mean['1']):>9.2f}{cells}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("--seeds", default="0-3")
    parser.add_argument("--json", type=Path, default=RESULT)
    arguments = parser.parse_args()
    if arguments.what == "run":
        first, _, last = arguments.seeds.partition("-")
        run(arguments.json, range(int(first), int(last or first) + 1))
    else:
        show(arguments.json)
