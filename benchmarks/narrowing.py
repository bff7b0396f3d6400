"""Choose first, then train what ships: how that compares, at equal compute.

    python benchmarks/narrowing.py tune STUDY [--start trained] [--arms ...]
    python benchmarks/narrowing.py run STUDY [--start trained] [--passes 2.5] [--paths 4]
    python benchmarks/narrowing.py show

A STUDY is a plain net with its data (`benchmarks/compare/nets.py`). From the trained net, or from
scratch, K paths are made for K budgets, `--lowest` to `--highest` of its multiply-accumulates, or
with `--budget latency` of its time in an engine on this machine (a profile, kept in a temporary
folder: measure while nothing else runs). The
compute of an arm is counted in passes of the largest path over the training examples. What an arm
trains:

    largest   the whole space, the largest path in every step
    whole     the whole space, one path a step, drawn by the cost-folded chain
    chosen    K paths chosen before the training, one a step (how often each: `--thrift`)
    third     the whole space for a third of the compute, then K paths chosen by it
    half      likewise, half
    late      likewise, two thirds
    big       the largest path alone for half of the compute, then K paths chosen by it
    alone     each of K chosen paths with weights of its own, and a K-th of the compute

The K paths are chosen by what they score on validation data with norm statistics of their own, by
`tipsc.search`, before the training (arms `chosen` and `alone`: the same paths), in the midst of
it, or (`whole`, `largest`) after it. They are judged on test images, with the scale that an
engine's paths share; `alone` with its own. The labels teach, and a trained net's answers too.
Each arm's learning rate is the best of RATES on a seed of its own (`tune`), by validation data. A
row of `benchmarks/results/narrowing.csv` is an arm's run; what is there is not done again.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import copy
import csv
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from compare.nets import PLAIN, trained_plain  # noqa: E402
from teacher import interval  # noqa: E402

from tipsc.backends import backend  # noqa: E402
from tipsc.convert import convert  # noqa: E402
from tipsc.elastic import Supernet, additive_totals  # noqa: E402
from tipsc.factors import Additive  # noqa: E402
from tipsc.fingerprint.installed import versions  # noqa: E402
from tipsc.paths import Path as Subnet  # noqa: E402
from tipsc.pipeline.fold import cost_of_profile  # noqa: E402
from tipsc.pipeline.profile import Bench, profile_paths  # noqa: E402
from tipsc.profile import Profile  # noqa: E402
from tipsc.project.target import load_target  # noqa: E402
from tipsc.search import Rated, for_budgets, rungs, search  # noqa: E402
from tipsc.search.candidates import assess, draw_spread  # noqa: E402
from tipsc.train import Data, Split, TrainConfig, anchor, evaluate, train  # noqa: E402
from tipsc.train.macs import mac_counter  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "narrowing.csv"
ARMS = ("largest", "whole", "chosen", "third", "half", "late", "big", "alone")
#: of the compute, what goes to the whole space (or the largest path) before K paths are chosen
BEFORE = {"chosen": 0.0, "third": 1 / 3, "half": 0.5, "late": 2 / 3, "big": 0.5}
RATES = {"trained": (0.001, 0.003, 0.01), "scratch": (0.003, 0.006, 0.012)}
TUNED_ON = 100  # a seed of its own
BATCH, EPOCHS, FROZEN = 64, 4, 1
EVALUATIONS = 6  # for each budget
CALIBRATED_ON = 1024
MEASURED = 40  # paths, for a profile
IDENTITY = (
    "study", "start", "passes", "paths", "budget", "lowest", "highest", "thrift", "arm", "rate",
    "seed",
)  # fmt: skip
COLUMNS = (*IDENTITY, "validation", "test", "costs", "original", "chosen")


def quietly(done: int, total: int, text: str) -> None:
    pass


@dataclass(frozen=True)
class Setting:
    """What one row needs, but for the arm."""

    study: str
    start: str
    passes: float
    paths: int
    rate: float
    seed: int
    lowest: float = 0.25
    highest: float = 0.8
    thrift: float = 0.5
    budget: str = "macs"

    @cached_property
    def data(self) -> Data:
        return PLAIN[self.study].data()

    @cached_property
    def plain(self) -> nn.Module:
        """The net as it was trained; kept in a temporary folder."""
        place = Path(tempfile.gettempdir()) / f"tipsc-plain-{self.study}-{self.seed}.pt"
        if place.exists():
            model = PLAIN[self.study].net()
            model.load_state_dict(torch.load(place, weights_only=True))
            return model.eval()
        model = trained_plain(PLAIN[self.study], self.data, self.seed)
        written = place.with_suffix(f".{os.getpid()}")  # several rows may train it at once
        torch.save(model.state_dict(), written)
        written.replace(place)
        return model

    @cached_property
    def teacher(self) -> nn.Module | None:
        return self.plain if self.start == "trained" else None

    @cached_property
    def supernet(self) -> Supernet:
        """Before its training; never trained itself."""
        if self.start == "trained":
            supernet = convert(self.plain, self.data.train.inputs[:1])
            anchor(supernet, self.data.calibration(CALIBRATED_ON))
            return supernet
        torch.manual_seed(self.seed)
        return convert(PLAIN[self.study].net().eval(), self.data.train.inputs[:1])

    @cached_property
    def budgets(self) -> list[float]:
        """As shares of what the largest path costs."""
        step = (self.highest / self.lowest) ** (1 / max(1, self.paths - 1))
        return [self.lowest * step**i for i in range(self.paths)]

    @cached_property
    def cost(self) -> Additive:
        """What budgets are of."""
        if self.budget == "macs":
            return additive_totals(self.supernet)["macs"]
        return cost_of_profile(self.supernet, profile_of(self.study, self.supernet, self.data))

    @cached_property
    def most(self) -> float:
        """MACs of the largest path."""
        return additive_totals(self.supernet)["macs"].of(self.supernet.space.largest)

    @property
    def compute(self) -> float:
        """Of the training, in MACs."""
        return self.passes * len(self.data.train) * self.most

    def choose(self, supernet: Supernet, own_scale: bool) -> list[Subnet]:
        """K paths, by what they score on validation data as they are."""

        def judged(paths, rung):  # type: ignore[no-untyped-def]
            found = assess(supernet, paths, self.data, rung.calibration, quietly, rung.validation,
                           own_scale=own_scale)  # fmt: skip
            return [candidate.judged.merit for candidate in found]

        largest = self.cost.of(supernet.space.largest)
        budgets = [share * largest for share in self.budgets]
        found = search(
            self.cost, budgets, judged, rungs(CALIBRATED_ON, len(self.data.validation)),
            evaluations=EVALUATIONS * self.paths, seed=self.seed,
        )  # fmt: skip
        paths = {f.path.id: f.path for f in found.finalists}
        rated = [Rated(f.path.id, f.expected, f.cost) for f in found.finalists]
        return [paths[chosen.path_id] for chosen in for_budgets(rated, budgets)]

    def train(
        self, supernet: Supernet, compute: float, paths: Sequence[Subnet] = (), *,
        largest: bool = False, frozen: bool = True, cycle: tuple[float, float] = (0.0, 1.0),
    ) -> Supernet:  # fmt: skip
        """A copy that was trained for that much compute."""
        supernet = copy.deepcopy(supernet)
        mean = self.mean_cost(supernet, paths, largest)
        steps = max(EPOCHS, round(compute / mean / BATCH))
        settings = TrainConfig(
            epochs=EPOCHS, frozen_epochs=FROZEN if frozen else 0,
            learning_rate=self.rate or 3e-3, find_rate=not self.rate,
            seed=self.seed, batch_size=BATCH, with_largest=largest, thrift=self.thrift, cycle=cycle,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            history = train(
                supernet, self.stretched(steps), settings, folder=Path(folder),
                original=self.teacher, paths=paths,
            )  # fmt: skip
        spent = sum(step.macs for step in history.steps) * BATCH
        if not 0.85 < spent / compute < 1.15:
            print(f"  compute {spent / compute:.2f} of what was meant", flush=True)
        return supernet

    def mean_cost(self, supernet: Supernet, paths: Sequence[Subnet], largest: bool) -> float:
        """MACs of a step for one example."""
        from tipsc.dtmc.shipping import Shipping
        from tipsc.train.samplers.folded import make

        cost = mac_counter(supernet)
        sampler = (
            Shipping.of(paths, [cost(p) for p in paths], self.thrift)
            if paths
            else make(supernet, 0)
        )
        drawn = [sampler.draw(random.Random(i), 1)[0] for i in range(2000)]  # type: ignore[union-attr]
        always = self.most if largest else 0.0
        return always + statistics.mean(
            0.0 if largest and path == supernet.space.largest else cost(path) for path in drawn
        )

    def stretched(self, steps: int) -> Data:
        """The data with so many training examples that EPOCHS epochs have that many steps."""
        data, count = self.data, max(1, round(steps / EPOCHS)) * BATCH
        chance = torch.Generator().manual_seed(self.seed)
        rounds = math.ceil(count / len(data.train))
        orders = [torch.randperm(len(data.train), generator=chance) for _ in range(rounds)]
        index = torch.cat(orders)[:count]
        return replace(data, train=Split(data.train.inputs[index], data.train.targets[index]))

    def scores(
        self, supernet: Supernet, paths: Sequence[Subnet], split: str, own: bool
    ) -> list[float]:
        found = evaluate(supernet, paths, self.data, split=split, own_scale=own)
        return [found[path.id].value for path in paths]

    def identity(self, arm: str) -> dict[str, str]:
        """The columns by which a row is known."""
        values = {**vars(self), "arm": arm}
        found = {name: values[name] for name in COLUMNS if name in IDENTITY}
        return {n: f"{v:g}" if isinstance(v, float) else str(v) for n, v in found.items()}

    def run(self, arm: str) -> dict[str, object]:
        """One row."""
        start, own = self.supernet, arm == "alone"
        if arm in ("largest", "whole"):
            supernet = self.train(start, self.compute, largest=arm == "largest")
            paths = self.choose(supernet, own_scale=False)
        else:
            share = BEFORE.get(arm, 0.0)
            supernet = start
            if share:
                first = [start.space.largest] if arm == "big" else []
                supernet = self.train(
                    start, share * self.compute, first, frozen=False, cycle=(0.0, share)
                )
            paths = self.choose(supernet, own_scale=True)
            if not own:
                supernet = self.train(
                    supernet, (1 - share) * self.compute, paths, cycle=(share, 1.0)
                )
        scores = {}
        if own:
            nets = {p.id: self.train(start, self.compute / self.paths, [p]) for p in paths}
            for split in ("validation", "test"):
                scores[split] = [self.scores(nets[p.id], [p], split, True)[0] for p in paths]
        else:
            for split in ("validation", "test"):
                scores[split] = self.scores(supernet, paths, split, False)
        largest = [start.space.largest]
        original = (
            self.scores(start, largest, "test", False)[0] if self.teacher is not None else 0.0
        )
        return {
            **self.identity(arm),
            "validation": joined(scores["validation"]), "test": joined(scores["test"]),
            "costs": joined([self.cost.of(p) / self.cost.of(start.space.largest) for p in paths]),
            "original": f"{100 * original:.2f}", "chosen": " ".join(path.id for path in paths),
        }  # fmt: skip


def profile_of(study: str, supernet: Supernet, data: Data) -> Profile:
    """Times of a net's paths on this machine; measured once, whatever its weights."""
    file = Path(tempfile.gettempdir()) / f"tipsc-profile-{study}.json"
    if not file.exists():
        totals, inputs = additive_totals(supernet), data.train.take(range(64)).inputs
        target = load_target("host")
        version = versions(backend(target.backend).libraries)[target.backend]
        bench = Bench("narrowing", target, version, supernet, totals, inputs, seed=0)
        paths = draw_spread(supernet.space, totals["macs"], 4 * MEASURED, random.Random(0))
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "engine.tipsc"
            profile_paths(bench, paths, MEASURED, place, quietly).save(file)
    return Profile.load(file)


def joined(shares: Sequence[float]) -> str:
    return " ".join(f"{100 * share:.2f}" for share in shares)


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split()]


def rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def matching(found: list[dict[str, str]], **wanted: object) -> Iterator[dict[str, str]]:
    return (row for row in found if all(row[k] == str(v) for k, v in wanted.items()))


def done(file: Path, setting: Setting, arm: str) -> bool:
    """Whether its row is there."""
    return any(matching(rows(file), **setting.identity(arm)))


def keep(file: Path, row: dict[str, object]) -> None:
    """Adds a row, and prints it."""
    fresh = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    named = [
        str(row[name]) for name in ("study", "start", "passes", "paths", "arm", "rate", "seed")
    ]
    mean = statistics.mean(numbers(str(row["test"])))
    print(*named, row["test"], f"mean {mean:.2f}", flush=True)


def tuned_rate(file: Path, study: str, start: str, arm: str) -> float:
    """The best of RATES on validation data, on the seed for that; what is known of others."""
    found = [
        (statistics.mean(numbers(row["validation"])), float(row["rate"]))
        for row in matching(rows(file), study=study, start=start, arm=arm, seed=TUNED_ON)
    ]
    return max(found)[1] if found else RATES[start][1]


def show(file: Path) -> None:
    found = [row for row in rows(file) if row["seed"] != str(TUNED_ON)]
    shared = [name for name in IDENTITY if name not in ("arm", "rate", "seed")]
    for values in sorted({tuple(row[name] for name in shared) for row in found}):
        study, start, passes, paths, budget, lowest, highest, thrift = values
        group = list(matching(found, **dict(zip(shared, values, strict=True))))
        by_arm = {arm: {r["seed"]: r for r in group if r["arm"] == arm} for arm in ARMS}
        by_arm = {arm: by_seed for arm, by_seed in by_arm.items() if by_seed}
        originals = [float(r["original"]) for r in group]
        print(
            f"\n{study}, {start}, compute of {passes} passes, {paths} paths of {lowest} to "
            f"{highest} of the largest's {budget}, thrift {thrift}"
            + (f", original {statistics.mean(originals):.2f} %" if start == "trained" else "")
        )
        print(
            f"  {'':<8} seeds   rate  smallest  largest   mean      against alone      against whole"  # noqa: E501
        )
        for arm, by_seed in by_arm.items():
            tests = [numbers(row["test"]) for row in by_seed.values()]
            means = [statistics.mean(column) for column in zip(*tests, strict=True)]
            rate = next(iter(by_seed.values()))["rate"]
            print(f"  {arm:<8}{len(tests):>6}{rate:>7}{means[0]:>10.2f}{means[-1]:>9.2f}"
                  f"{statistics.mean(means):>7.2f}{gap(by_arm, arm, 'alone'):>19}"
                  f"{gap(by_arm, arm, 'whole'):>19}")  # fmt: skip


def gap(by_arm: dict[str, dict[str, dict[str, str]]], arm: str, other: str) -> str:
    """Mean difference of the paths, paired by seed, and its 95 % interval."""
    if arm == other or other not in by_arm:
        return ""
    mean = {
        name: {s: statistics.mean(numbers(r["test"])) for s, r in by_arm[name].items()}
        for name in (arm, other)
    }
    both = sorted(mean[arm].keys() & mean[other].keys())
    return interval([mean[arm][s] - mean[other][s] for s in both]) if both else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["tune", "run", "show"])
    parser.add_argument("study", nargs="?", choices=PLAIN)
    parser.add_argument("--start", choices=RATES, default="trained")
    parser.add_argument("--passes", type=float, default=2.5)
    parser.add_argument("--paths", type=int, default=4)
    parser.add_argument("--budget", choices=["macs", "latency"], default="macs")
    parser.add_argument("--lowest", type=float, default=0.25, help="budget, share of the largest")
    parser.add_argument("--highest", type=float, default=0.8)
    parser.add_argument("--thrift", type=float, default=0.5)
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument(
        "--rate", type=float, help="instead of the tuned one; 0: found by a range test"
    )
    parser.add_argument("--csv", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "show":
        show(given.csv)
        return
    if given.study is None:
        parser.error("which study?")
    first, _, last = given.seeds.partition("-")
    seeds = [TUNED_ON] if given.what == "tune" else range(int(first), int(last or first) + 1)
    for seed in seeds:
        for arm in given.arms.split(","):
            tuned = (
                tuned_rate(given.csv, given.study, given.start, arm)
                if given.rate is None
                else given.rate,
            )
            for rate in RATES[given.start] if given.what == "tune" else tuned:
                setting = Setting(
                    given.study, given.start, given.passes, given.paths, rate, seed,
                    given.lowest, given.highest, given.thrift, given.budget,
                )  # fmt: skip
                if not done(given.csv, setting, arm):
                    keep(given.csv, setting.run(arm))


if __name__ == "__main__":
    main()
