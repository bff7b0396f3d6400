"""What a path gains by weights of its own, and what it costs: the ladder of `build.share_loss`.

    python benchmarks/sharing.py run STUDY [--passes 2.5] [--paths 4] [--share 1]
    python benchmarks/sharing.py show

K paths are chosen and trained together as in `benchmarks/narrowing.py`, arm `chosen`. Then each
climbs (`tipsc.pipeline.ladder`). `--share` is the length of each training by itself, as a share of
a path's part of the steps before. A row of `benchmarks/results/sharing.csv` is what one path was
tried with. Validation decides; test accuracy is shown beside it.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from compare.nets import PLAIN  # noqa: E402
from narrowing import BATCH, CALIBRATED_ON, Setting  # noqa: E402

from tipsc.elastic import Supernet, extract  # noqa: E402
from tipsc.paths import Path as Subnet  # noqa: E402
from tipsc.pipeline.ladder import Attempt, Climb, Stand, Teaching, climb  # noqa: E402
from tipsc.train import TrainConfig, calibrate, quality_of  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "sharing.csv"
IDENTITY = ("study", "passes", "paths", "lowest", "seed", "rate", "own_rate", "share", "limit")
COLUMNS = (
    *IDENTITY, "path", "cost", "rung", "values", "validation", "error", "gained", "lost", "kept",
    "ships", "test", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One training together, and the climbs after it."""

    setting: Setting
    share: float
    limit: float
    own_rate: float

    def rows(self) -> Iterator[dict[str, object]]:
        setting = self.setting
        paths = setting.choose(setting.supernet, own_scale=True)
        supernet = self.together(paths)
        mean = setting.mean_cost(supernet, paths, False)
        steps = round(self.share * setting.compute / mean / BATCH / len(paths))
        config = TrainConfig(
            epochs=1, frozen_epochs=0, learning_rate=self.own_rate, seed=setting.seed,
            batch_size=BATCH,
        )  # fmt: skip
        data = setting.data
        teaching = Teaching(data, config, steps, self.limit, setting.teacher)
        for path in paths:
            began = time.monotonic()
            statistics = calibrate(supernet, path, data.calibration(CALIBRATED_ON))
            found = climb(supernet, path, statistics, teaching)
            seconds = time.monotonic() - began
            for rung in steps_of(found):
                yield self.row(supernet, path, found, rung, seconds)

    def together(self, paths: list[Subnet]) -> Supernet:
        """The supernet after the training of all; kept in a temporary folder."""
        setting = self.setting
        known = "-".join(setting.identity("chosen").values())
        place = Path(tempfile.gettempdir()) / f"tipsc-together-{known}.pt"
        if place.exists():
            setting.supernet.load_state_dict(torch.load(place, weights_only=True))
            return setting.supernet
        supernet = setting.train(setting.supernet, setting.compute, paths)
        torch.save(supernet.state_dict(), place)
        return supernet

    def row(
        self, supernet: Supernet, path: Subnet, found: Climb, rung: Attempt, seconds: float
    ) -> dict[str, object]:
        setting, stand = self.setting, rung.stand
        module = extract(supernet, path, stand.statistics)
        test = quality_of(module, setting.data.test, setting.data.judged_by)
        return {
            **self.identity(),
            "path": path.id,
            "cost": f"{setting.macs.of(path) / setting.most:.3f}",
            "rung": rung.label,
            "values": stand.values,
            "validation": f"{100 * stand.quality.value:.2f}",
            "error": f"{100 * rung.gained.error:.2f}",
            "gained": f"{100 * rung.gained.amount:.2f}",
            "lost": f"{100 * rung.lost.amount:.2f}",
            "kept": rung.kept,
            "ships": found.ships is stand,
            "test": f"{100 * test.value:.2f}",
            "seconds": f"{seconds:.0f}",
        }

    def identity(self) -> dict[str, str]:
        known = {**vars(self.setting), **vars(self)}
        return {
            k: f"{known[k]:g}" if isinstance(known[k], float) else str(known[k]) for k in IDENTITY
        }


def steps_of(found: Climb) -> list[Attempt]:
    """The path that shares all, what it was tried with, and the path alone."""

    def against_shared(label: str, stand: Stand) -> Attempt:
        gained = stand.judged.over(found.shared.judged)
        return Attempt(label, stand, gained, found.alone.judged.over(stand.judged))

    ends = [against_shared("shared", found.shared), against_shared("all", found.alone)]
    return [ends[0], *(r for r in found.rungs if r.stand is not found.alone), ends[1]]


def rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def show(file: Path) -> None:
    found = rows(file)
    for key in dict.fromkeys(tuple(row[name] for name in IDENTITY) for row in found):
        print("\n" + ", ".join(f"{k} {v}" for k, v in zip(IDENTITY, key, strict=True)))
        for row in found:
            if tuple(row[name] for name in IDENTITY) == key:
                print(
                    f"  {row['path']} {row['cost']} {row['rung']:<32}{row['values']:>8} numbers"
                    f"{row['validation']:>7}{row['gained']:>7} ± {row['error']}, lost"
                    f"{row['lost']:>6}, test {row['test']}"
                    + " kept" * (row["kept"] == "True")
                    + " ships" * (row["ships"] == "True")
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("study", nargs="?", choices=PLAIN)
    parser.add_argument("--passes", type=float, default=2.5)
    parser.add_argument("--paths", type=int, default=4)
    parser.add_argument("--lowest", type=float, default=0.25)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--own-rate", type=float, default=0.001)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--limit", type=float, default=0.003)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--csv", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "show":
        show(given.csv)
        return
    if given.study is None:
        parser.error("which study?")
    first, _, last = given.seeds.partition("-")
    for seed in range(int(first), int(last or first) + 1):
        setting = Setting(given.study, "trained", given.passes, given.paths, given.rate, seed,
                          given.lowest)  # fmt: skip
        trial = Trial(setting, given.share, given.limit, given.own_rate)
        identity = trial.identity()
        if any(all(row[k] == v for k, v in identity.items()) for row in rows(given.csv)):
            continue
        found = list(trial.rows())
        fresh = not given.csv.exists()
        with given.csv.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerows(found)
    show(given.csv)


if __name__ == "__main__":
    main()
