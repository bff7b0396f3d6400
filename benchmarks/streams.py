"""What `convert: {streams: true}` gives: how small paths get, and what that is worth.

    python benchmarks/streams.py range
    python benchmarks/streams.py learn STUDY [--seeds 0-1] [--lowest 0.1] [--highest 0.5]
    python benchmarks/streams.py show

`range` converts small nets of four kinds, with and without, and prints the smallest path's
multiply-accumulates and weights as shares of the largest path's. `learn` takes a trained plain net
(`benchmarks/narrowing.py`, arm `chosen`): K paths for K budgets of multiply-accumulates are chosen
as they are, then trained together, all else being equal. A row of `benchmarks/results/streams.csv`
is a run; what is there is not done again. `show` prints them.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import csv
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from narrowing import CALIBRATED_ON, Setting, joined, numbers  # noqa: E402

from tipsc.convert import convert  # noqa: E402
from tipsc.elastic import Supernet  # noqa: E402
from tipsc.train import anchor  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "streams.csv"
COLUMNS = ("study", "streams", "seed", "budgets", "costs", "validation", "test", "original")
PASSES, PATHS, RATE = 2.5, 4, 0.003


class Blocks(nn.Module):
    """A transformer's blocks; as many passes as there are layers, or through one that is shared."""

    def __init__(self, width: int, layers: int, shared: bool = False) -> None:
        super().__init__()
        made = [
            nn.TransformerEncoderLayer(
                width, width // 32, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
                norm_first=True,
            )
            for _ in range(1 if shared else layers)
        ]  # fmt: skip
        self.layers = nn.ModuleList(made)
        self.passes = layers

    def forward(self, x: Tensor) -> Tensor:
        for number in range(self.passes):
            x = self.layers[number % len(self.layers)](x)
        return x


class Language(nn.Module):
    """As GPT-2: the head has the embedding's weight. As ALBERT: one layer for all passes."""

    def __init__(self, width: int = 256, layers: int = 4, shared: bool = False) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(4096, width), nn.Embedding(64, width)
        self.blocks, self.norm = Blocks(width, layers, shared), nn.LayerNorm(width)
        self.head = nn.Linear(width, 4096, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("place", torch.arange(64))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.places(self.place)
        return self.head(self.norm(self.blocks(x)))


class Vision(nn.Module):
    """As ViT: patches, a class token, learned places."""

    def __init__(self, width: int = 192, layers: int = 6) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 65, width))
        self.blocks, self.norm = Blocks(width, layers), nn.LayerNorm(width)
        self.head = nn.Linear(width, 100)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity or a 1x1 convolution, as in ResNet-18."""

    def __init__(self, width: int, to: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, to, 3, stride, 1, bias=False), nn.BatchNorm2d(to), nn.ReLU(),
            nn.Conv2d(to, to, 3, 1, 1, bias=False), nn.BatchNorm2d(to),
        )  # fmt: skip
        self.skip = (
            nn.Identity()
            if width == to
            else nn.Sequential(nn.Conv2d(width, to, 1, stride, bias=False), nn.BatchNorm2d(to))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.skip(x) + self.body(x))


def resnet() -> nn.Module:
    """ResNet-18 for 64x64 pixels."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for to in (64, 128, 256, 512):
        layers += [Residual(width, to, 1 if to == 64 else 2), Residual(to, to, 1)]
        width = to
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 100))


def tokens() -> Tensor:
    return torch.randint(0, 4096, (2, 64))


def image() -> Tensor:
    return torch.randn(2, 3, 64, 64)


NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "as GPT-2": (Language, tokens),
    "as ALBERT": (lambda: Language(shared=True), tokens),
    "as ViT": (Vision, image),
    "ResNet-18": (resnet, image),
}


def ranges() -> None:
    print(f"{'':<10}{'':>9}{'choices':>9}{'smallest: MACs':>16}{'weights':>9}{'seconds':>9}")
    for name, (build, given) in NETS.items():
        torch.manual_seed(0)
        model, x = build().eval(), given()
        for streams in (False, True):
            report = convert(model, x, streams=streams).report
            macs, weights = (
                small / large for small, large in zip(report.smallest, report.largest, strict=True)
            )
            print(
                f"{name:<10}{'streams' if streams else '':>9}{len(report.elastic):>9}"
                f"{macs:>16.4f}{weights:>9.4f}{report.seconds:>9.1f}",
                flush=True,
            )


@dataclass(frozen=True)
class Chosen(Setting):
    """Paths that are chosen first, of a supernet with or without a choice of its streams."""

    streams: bool = False

    @cached_property
    def supernet(self) -> Supernet:
        supernet = convert(self.plain, self.data.train.inputs[:1], streams=self.streams)
        anchor(supernet, self.data.calibration(CALIBRATED_ON))
        return supernet


def rows() -> list[dict[str, str]]:
    if not RESULT.exists():
        return []
    with RESULT.open(newline="") as stream:
        return list(csv.DictReader(stream))


def learn(study: str, seeds: range, lowest: float, highest: float) -> None:
    for seed in seeds:
        for streams in (False, True):
            known = {"study": study, "streams": str(streams), "seed": str(seed)}
            setting = Chosen(
                study, "trained", PASSES, PATHS, RATE, seed, lowest, highest, streams=streams
            )
            known["budgets"] = joined(setting.budgets)
            if any(known.items() <= row.items() for row in rows()):
                continue
            found = setting.run("chosen")
            row = known | {name: str(found[name]) for name in COLUMNS if name in found}
            fresh = not RESULT.exists()
            with RESULT.open("a", newline="") as stream:
                writer = csv.DictWriter(stream, COLUMNS)
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
            print(*row.values(), flush=True)


def show() -> None:
    """Mean test accuracy of each path, over the seeds, and what it costs in MACs."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows():
        key = (row["study"], row["budgets"], row["streams"])
        groups.setdefault(key, []).append(row)
    for (study, budgets, streams), group in sorted(groups.items()):
        original = statistics.mean(float(row["original"]) for row in group)
        print(
            f"\n{study}, {'with' if streams == 'True' else 'without'} streams, "
            f"{len(group)} seed(s), original {original:.2f} %"
        )
        costs, tests = ([numbers(row[name]) for row in group] for name in ("costs", "test"))
        for place, budget in enumerate(numbers(budgets)):
            cost, test = (statistics.mean(row[place] for row in found) for found in (costs, tests))
            print(f"  budget {budget:6.2f} % of the MACs  used {cost:6.2f} %  test {test:6.2f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("range")
    commands.add_parser("show")
    trained = commands.add_parser("learn")
    trained.add_argument("study")
    trained.add_argument("--seeds", default="0-1")
    trained.add_argument("--lowest", type=float, default=0.1)
    trained.add_argument("--highest", type=float, default=0.5)
    arguments = parser.parse_args()
    if arguments.command == "range":
        ranges()
    elif arguments.command == "show":
        show()
    else:
        first, _, last = arguments.seeds.partition("-")
        seeds = range(int(first), int(last or first) + 1)
        learn(arguments.study, seeds, arguments.lowest, arguments.highest)


if __name__ == "__main__":
    main()
