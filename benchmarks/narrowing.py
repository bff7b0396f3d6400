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
    steps     the whole space, then a hundred paths near the budgets, fifty, a dozen and K of these
              (`narrowing_steps.py`)
    swap      as `chosen`; after a half a neighbour that scores better takes a path's place
    pause     the same break, and no path is changed
    alone     each of K chosen paths with weights of its own, and a K-th of the compute

The K paths are chosen by what they score on validation data with norm statistics of their own, by
`tipsc.search`, before the training (arms `chosen` and `alone`: the same paths), in the midst of
it, or (`whole`, `largest`) after it. They are judged on test images, with the scale that an
engine's paths share; `alone` with its own. The labels teach, and a trained net's answers too.
Each arm's learning rate is the best of RATES on a seed of its own (`tune`), by validation data. A
row of `benchmarks/results/narrowing.csv` is an arm's run; what is there is not done again. Looks at
paths before or in the midst of a training are not in its compute; `show` says how much they took,
by the multiply-accumulates of their forward passes, three of which count as a trained example.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from compare.nets import PLAIN, trained_plain  # noqa: E402
from narrowing_steps import SHIP, STEPS, Narrowing, Step, neighbours, support  # noqa: E402
from teacher import interval  # noqa: E402

from tipsc.backends import backend  # noqa: E402
from tipsc.convert import convert  # noqa: E402
from tipsc.dtmc.samplers import Sampler  # noqa: E402
from tipsc.dtmc.shipping import Shipping  # noqa: E402
from tipsc.elastic import Supernet, additive_totals  # noqa: E402
from tipsc.factors import Additive  # noqa: E402
from tipsc.fingerprint.installed import versions  # noqa: E402
from tipsc.paths import Path as Subnet  # noqa: E402
from tipsc.pipeline.fold import cost_of_profile  # noqa: E402
from tipsc.pipeline.profile import Bench, profile_paths  # noqa: E402
from tipsc.profile import Profile  # noqa: E402
from tipsc.project.target import load_target  # noqa: E402
from tipsc.search import Rated, Rung, Surrogate, for_budgets, rungs, search  # noqa: E402
from tipsc.search.candidates import assess, draw_spread  # noqa: E402
from tipsc.train import Data, Split, TrainConfig, anchor, evaluate, train  # noqa: E402
from tipsc.train.macs import mac_counter  # noqa: E402
from tipsc.train.samplers.folded import make as folded  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "narrowing.csv"
ARMS = (
    "largest", "whole", "chosen", "swap", "pause", "third", "half", "late", "steps", "big", "alone",
)  # fmt: skip
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
COLUMNS = (*IDENTITY, "validation", "test", "costs", "original", "chosen", "looks")
LOOK = Rung(128, 500)  # in the midst of a training
LOOKS = 16  # paths
SWAPS = Rung(256, 1_000_000)  # all validation examples
TRIED = 3  # neighbours of a path
_TRAINED = 3  # forward passes that an example of a step takes


def quietly(done: int, total: int, text: str) -> None:
    pass


@dataclass
class Book:
    """What a row has taken so far.

    Attributes:
        spent: compute of all trainings, in MACs.
        looked: MACs of looks at paths.
        peak: of the learning rate, of the last training.
    """

    spent: float = 0.0
    looked: float = 0.0
    peak: float = 0.0


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

    @cached_property
    def book(self) -> Book:
        return Book()

    @cached_property
    def allowed(self) -> list[float]:
        """The budgets in the unit of the cost."""
        return [share * self.cost.of(self.supernet.space.largest) for share in self.budgets]

    @cached_property
    def macs(self) -> Callable[[Subnet], float]:
        return mac_counter(self.supernet)

    def look(
        self, supernet: Supernet, paths: Sequence[Subnet], rung: Rung, own_scale: bool = True
    ) -> list[float]:
        """What paths score on validation data as they are."""
        found = assess(supernet, paths, self.data, rung.calibration, quietly, rung.validation,
                       own_scale=own_scale)  # fmt: skip
        images = rung.calibration + min(rung.validation, len(self.data.validation))
        self.book.looked += images * sum(self.macs(path) for path in paths)
        return [candidate.judged.merit for candidate in found]

    def choose(self, supernet: Supernet, own_scale: bool) -> list[Subnet]:
        """K paths, by what they score on validation data as they are."""
        found = search(
            self.cost, self.allowed, lambda p, rung: self.look(supernet, p, rung, own_scale),
            rungs(CALIBRATED_ON, len(self.data.validation)),
            evaluations=EVALUATIONS * self.paths, bands=own_scale, seed=self.seed,
        )  # fmt: skip
        paths = {f.path.id: f.path for f in found.finalists}
        rated = [Rated(f.path.id, f.expected, f.cost) for f in found.finalists]
        return [paths[chosen.path_id] for chosen in for_budgets(rated, self.allowed)]

    def in_steps(self) -> tuple[Supernet, list[Subnet]]:
        """Narrowed to K paths, and trained."""
        supernet, prior = copy.deepcopy(self.supernet), list[Surrogate]()

        def narrowed(step: Step) -> list[Subnet]:
            supernet.eval()
            found = search(
                self.cost, self.allowed, lambda p, rung: self.look(supernet, p, rung),
                (LOOK, LOOK), evaluations=LOOKS, seed=self.seed + step.paths,
                prior=prior[-1].mean if prior else None,
            )  # fmt: skip
            supernet.train()
            assert found.surrogate is not None
            prior.append(found.surrogate)
            return support(self.cost, self.allowed, found.surrogate.mean, step, self.seed)

        whole = folded(supernet, 0)
        sampler = Narrowing(
            whole, self.macs, narrowed, self.compute / BATCH, self.thrift
        )  # fmt: skip
        near = support(self.cost, self.allowed, None, STEPS[0], self.seed)
        means = (self.mean_cost(supernet, [], False), self.mean_cost(supernet, near, False))
        first = STEPS[0].begin
        steps = self.compute / BATCH * (first / means[0] + (SHIP - first) / means[1])
        self.teach(supernet, round(steps), sampler=sampler, frozen=0, cycle=(0.0, SHIP))
        merits = self.look(supernet, sampler.paths, Rung(CALIBRATED_ON, len(self.data.validation)))
        rated = [
            Rated(p.id, m, self.cost.of(p)) for p, m in zip(sampler.paths, merits, strict=True)
        ]
        paths = {path.id: path for path in sampler.paths}
        chosen = [paths[c.path_id] for c in for_budgets(rated, self.allowed)]
        left = self.compute - self.book.spent
        return self.train(supernet, left, chosen, cycle=(SHIP, 1.0)), chosen

    def with_break(self, swap: bool) -> tuple[Supernet, list[Subnet]]:
        """K paths chosen before the training, and after a half of it once more."""
        paths = self.choose(self.supernet, own_scale=True)
        supernet = self.train(self.supernet, self.compute / 2, paths, frozen=False, cycle=(0, 0.5))
        if swap:
            paths = self.swapped(supernet, paths)
        return self.train(
            supernet, self.compute / 2, paths, frozen_epochs=2, cycle=(0.5, 1), rate=self.book.peak
        ), paths

    def swapped(self, supernet: Supernet, paths: list[Subnet]) -> list[Subnet]:
        """Each path, or a neighbour within its budget that scores better."""
        result = list(paths)
        for place, (path, budget) in enumerate(zip(paths, self.allowed, strict=True)):
            near = neighbours(path, self.cost, budget, result, TRIED, self.seed)
            merits = self.look(supernet, [path, *near], SWAPS)
            best = max(range(len(merits)), key=merits.__getitem__)
            if best:
                result[place] = near[best - 1]
                print(f"  {path.id} {merits[0]:.4f} -> {result[place].id} {merits[best]:.4f}")
        return result

    def train(
        self, supernet: Supernet, compute: float, paths: Sequence[Subnet] = (), *,
        largest: bool = False, frozen: bool = True, frozen_epochs: int = FROZEN,
        cycle: tuple[float, float] = (0.0, 1.0), rate: float = 0.0, weights: Sequence[float] = (),
    ) -> Supernet:  # fmt: skip
        """A copy that was trained for that much compute; `weights`: as of :func:`train`."""
        supernet, before = copy.deepcopy(supernet), self.book.spent
        mean = self.mean_cost(supernet, paths, largest, weights)
        steps = max(EPOCHS, round(compute / mean / BATCH))
        self.teach(
            supernet, steps, paths, largest=largest, frozen=frozen_epochs if frozen else 0,
            cycle=cycle, rate=rate, weights=weights,
        )  # fmt: skip
        spent = self.book.spent - before
        if not 0.85 < spent / compute < 1.15:
            print(f"  compute {spent / compute:.2f} of what was meant", flush=True)
        return supernet

    def teach(
        self, supernet: Supernet, steps: int, paths: Sequence[Subnet] = (), *,
        sampler: Sampler | None = None, largest: bool = False, frozen: int,
        cycle: tuple[float, float], rate: float = 0.0, weights: Sequence[float] = (),
    ) -> None:  # fmt: skip
        """Trains it, by the setting's rate unless there is another one."""
        rate = rate or self.rate
        settings = TrainConfig(
            epochs=EPOCHS, frozen_epochs=frozen, learning_rate=rate or 3e-3, find_rate=not rate,
            seed=self.seed, batch_size=BATCH, with_largest=largest, thrift=self.thrift, cycle=cycle,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            history = train(
                supernet, self.stretched(steps), settings, sampler, folder=Path(folder),
                original=self.teacher, paths=paths, weights=weights,
            )  # fmt: skip
        self.book.spent += sum(step.macs for step in history.steps) * BATCH
        self.book.peak = max(step.learning_rate for step in history.steps)

    def mean_cost(
        self, supernet: Supernet, paths: Sequence[Subnet], largest: bool,
        weights: Sequence[float] = (),
    ) -> float:  # fmt: skip
        """MACs of a step for one example."""
        cost = mac_counter(supernet)
        if weights:
            sampler: Sampler | Shipping = Shipping(tuple(paths), tuple(weights))
        elif paths:
            sampler = Shipping.of(paths, [cost(p) for p in paths], self.thrift)
        else:
            sampler = folded(supernet, 0)
        drawn = [sampler.draw(random.Random(i), 1)[0] for i in range(2000)]
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
        elif arm == "steps":
            supernet, paths = self.in_steps()
        elif arm in ("swap", "pause"):
            supernet, paths = self.with_break(arm == "swap")
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
            "looks": f"{100 * self.book.looked / _TRAINED / self.compute:.1f}",
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


def add_row(file: Path, row: Mapping[str, object], columns: Sequence[str]) -> None:
    """Adds a row; of a file that is there, in its columns."""
    fresh = not file.exists()
    columns = columns if fresh else file.read_text().partition("\n")[0].strip().split(",")
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def keep(file: Path, row: dict[str, object]) -> None:
    """Adds a row, and prints it."""
    add_row(file, row, COLUMNS)
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
            f"  {'':<8} seeds   rate  smallest  largest   mean      against alone      against whole  looks %"  # noqa: E501
        )
        for arm, by_seed in by_arm.items():
            tests = [numbers(row["test"]) for row in by_seed.values()]
            means = [statistics.mean(column) for column in zip(*tests, strict=True)]
            rate = next(iter(by_seed.values()))["rate"]
            print(f"  {arm:<8}{len(tests):>6}{rate:>7}{means[0]:>10.2f}{means[-1]:>9.2f}"
                  f"{statistics.mean(means):>7.2f}{gap(by_arm, arm, 'alone'):>19}"
                  f"{gap(by_arm, arm, 'whole'):>19}{looks(by_seed):>9}")  # fmt: skip


def looks(by_seed: dict[str, dict[str, str]]) -> str:
    """Mean compute of looks at paths, as a share of the training's; rows of before do not say."""
    known = [float(row["looks"]) for row in by_seed.values() if row.get("looks")]
    return f"{statistics.mean(known):.1f}" if known else ""


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
