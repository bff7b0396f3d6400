"""Several processes that train one net: ``python benchmarks/processes.py``.

The same training on scikit-learn's digits, with the same batch over all processes, in 1, 2 and 4 of
them (torchrun, gloo, loopback). Each step's path is the same in all processes ("same"), or each
process draws its own ("own"). Norms see the examples of one process, so that one process that runs
its batches in as many parts is the like of several.

For each training there is a row: mean losses in the quarters of the steps, qualities of paths on
test examples, and how much longer a step waits for the largest path than the mean one takes (in
multiply-accumulates). Printed is the mean difference over the seeds to one process in as many
parts, with its 95 % interval; and of own paths to one training of the same that is longer by what
these wait. It ends with 1 where an interval of a loss of the chosen way, "same", leaves out zero.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path as File
from typing import Any

import torch

sys.path.insert(0, str(File(__file__).resolve().parents[1]))

from tipsc.dtmc.samplers import Sampler
from tipsc.elastic import Supernet, family
from tipsc.paths import Path
from tipsc.tasks import Classification
from tipsc.train import Data, Split, TrainConfig, evaluate, train
from tipsc.train.chance import seed_of
from tipsc.train.distributed import group
from tipsc.train.macs import mac_counter
from tipsc.train.samplers import sampler as make_sampler

SEEDS, EPOCHS, BATCH, JUDGED = 5, 10, 64, 16
LONGER = {2: 13, 4: 16}  # epochs in the time for which own paths wait
#: processes, whose paths, parts of a batch in one process, epochs
WAYS = (
    *((1, "same", parts, EPOCHS) for parts in (1, 2, 4)),
    *((processes, paths, 1, EPOCHS) for processes in LONGER for paths in ("same", "own")),
    *((1, "same", parts, epochs) for parts, epochs in LONGER.items()),
)
RESULTS = File(__file__).parent / "results" / "processes.csv"
LOSSES = tuple(f"loss_{quarter}" for quarter in (1, 2, 3, 4))
QUALITIES = ("smallest", "mean", "largest")
FIELDS = (
    "processes",
    "paths",
    "parts",
    "epochs",
    "seed",
    *LOSSES,
    *QUALITIES,
    "waits",
    "ms_a_step",
)
T_QUANTILE = 2.776  # of 97.5 %, with four degrees of freedom: five seeds
NET = {
    "classes": 10, "input_shape": [1, 8, 8], "stem": 8, "stem_stride": 1,
    "stages": [
        {"channels": 8, "depths": [1, 2], "expansions": [1, 2, 4]},
        {"channels": 16, "depths": [1, 2], "expansions": [2, 4], "stride": 2},
    ],
    "head": 32,
}  # fmt: skip


def digits() -> Data:
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    labels = torch.tensor(found.target, dtype=torch.int64)
    parts = (slice(0, 1200), slice(1200, 1500), slice(1500, None))
    splits = (Split(images[part], labels[part]) for part in parts)
    return Data(*splits, Classification(tuple("0123456789")))


@dataclass
class Counted:
    """Draws by the number of the step and a rank, which are this one's or another one's."""

    sampler: Sampler
    seed: int
    rank: int
    steps: int = 0

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        self.steps += 1
        chance = random.Random(seed_of("benchmark", self.seed, self.steps, self.rank))
        return self.sampler.draw(chance, count)


def waits(supernet: Supernet, plain: Sampler, seed: int, ranks: int, steps: int) -> float:
    """How much longer than the mean path the largest of each step's own ones is."""
    macs, counted = mac_counter(supernet), [Counted(plain, seed, rank) for rank in range(ranks)]
    drawn = [[macs(each.draw(random.Random(), 1)[0]) for each in counted] for _ in range(steps)]
    return statistics.fmean(map(max, drawn)) / statistics.fmean(map(statistics.fmean, drawn))


def trained(paths: str, parts: int, epochs: int, seed: int) -> dict[str, Any] | None:
    """A row, from the first process."""
    with group() as ranks, tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(seed)
        data, supernet = digits(), family("mobilenet", **NET)
        config = TrainConfig(
            epochs=epochs, frozen_epochs=0, batch_size=BATCH, learning_rate=0.01, seed=seed,
            accumulate=parts, threads=1, checkpoint_seconds=1e9,
        )  # fmt: skip
        plain: Any = make_sampler(config.sampler, supernet, seed, {})
        counted = Counted(plain, seed, ranks.rank if paths == "own" else 0)
        history = train(supernet, data, config, counted, folder=File(folder))
        if ranks.rank:
            return None
        losses, space = history.losses, supernet.space
        ends = [len(losses) * quarter // 4 for quarter in range(5)]
        some = [space.sample(random.Random(number)) for number in range(JUDGED)]
        found = evaluate(supernet, [space.smallest, *some, space.largest], data, split="test")
        of = {path.id: found[path.id].value for path in (space.smallest, *some, space.largest)}
        figures = [
            *(statistics.fmean(losses[a:b]) for a, b in pairwise(ends)),
            of[space.smallest.id],
            statistics.fmean(of[path.id] for path in some),
            of[space.largest.id],
            waits(supernet, plain, seed, ranks.ranks if paths == "own" else 1, len(losses)),
            1000 * history.seconds / len(losses),
        ]
        head = (ranks.ranks, paths, parts, epochs, seed)
        return dict(zip(FIELDS, (*head, *(f"{value:.5g}" for value in figures)), strict=True))


def part(paths: str, parts: int, epochs: int) -> None:
    """In each process of one way: all seeds; the first one prints its rows."""
    with group():
        for seed in range(SEEDS):
            row = trained(paths, parts, epochs, seed)
            if row is not None:
                print(",".join(map(str, row.values())), flush=True)


def rows_of(processes: int, paths: str, parts: int, epochs: int) -> list[dict[str, str]]:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        command.append(str(processes))
    command += [__file__, "--part", paths, str(parts), str(epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    lines = done.stdout.splitlines()
    return [dict(zip(FIELDS, line.split(","), strict=True)) for line in lines]


def difference(ours: Sequence[Mapping[str, str]], theirs: Sequence[Mapping[str, str]],
               name: str) -> tuple[float, float]:  # fmt: skip
    """Mean over the seeds, and half of its 95 % interval."""
    pairs = zip(ours, theirs, strict=True)
    found = [float(one[name]) - float(other[name]) for one, other in pairs]
    return statistics.fmean(found), T_QUANTILE * statistics.stdev(found) / math.sqrt(len(found))


def tell(
    what: str,
    ours: Sequence[Mapping[str, str]],
    theirs: Sequence[Mapping[str, str]],
    names: Sequence[str],
) -> None:
    found = [(name, *difference(ours, theirs, name)) for name in names]
    print(f"{what}:", ", ".join(f"{name} {mean:+.4f} +- {half:.4f}" for name, mean, half in found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=File, default=RESULTS, metavar="FILE")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part(options.part[0], *map(int, options.part[1:]))
        return 0
    found: dict[tuple[int, str, int, int], list[dict[str, str]]] = {}
    for way in WAYS:
        found[way] = rows_of(*way)
        print(*(list(row.values()) for row in found[way]), sep="\n", flush=True)
    with options.csv.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for rows in found.values() for row in rows)
    missed = False
    for processes in LONGER:
        alone = found[1, "same", processes, EPOCHS]
        longer = found[1, "same", processes, LONGER[processes]]
        same, own = (found[processes, paths, 1, EPOCHS] for paths in ("same", "own"))
        tell(f"{processes} processes, same paths", same, alone, (*LOSSES, *QUALITIES))
        tell(f"{processes} processes, own paths", own, alone, (*LOSSES, *QUALITIES))
        tell(f"the same against {LONGER[processes]} epochs", own, longer, QUALITIES)
        pairs = (difference(same, alone, name) for name in LOSSES)
        missed |= any(abs(mean) > half for mean, half in pairs)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
