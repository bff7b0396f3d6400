"""One training for several devices, against one for each: what it costs each of them.

    python benchmarks/several_devices.py run [STUDY] [--seeds 0-4] [--passes 2.5] [--paths 4]
    python benchmarks/several_devices.py show

A STUDY is a trained plain net with its data (`benchmarks/compare/nets.py`). For each device K paths
are chosen before the training, by what they score as they are and by what they cost there
(`benchmarks/narrowing.py`). A device is one of

    macs      arithmetic alone counts, as on a processor that is kept busy
    TARGET    the estimate from its published figures (`targets/*.yaml`, key roofline); for a Jetson
              and nets as small as these nearly all of it is the number of kernels

and its K budgets lie at the same places between its cheapest and its costliest path. Both arms have
the same paths and the same compute in all, in passes of the largest path over the training data:

    together  the paths of all devices are trained as one set, as large a share for each device
    apart     the paths of each device by themselves, with its share of the compute

They are judged on test images with the scale that an engine's paths share. The rate is found by
the range test of a build. A row of `benchmarks/results/several_devices.csv` is an arm of a seed;
what is there is not done again, so that a run that was stopped is started again as it was.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from narrowing import PLAIN, ROOT, Path, Setting, add_row, interval, joined, matching, numbers, rows

from tipsc.dtmc.shipping import Shipping
from tipsc.elastic import additive_totals
from tipsc.factors import Additive
from tipsc.paths import Path as Subnet
from tipsc.profile.roofline import estimated_ms
from tipsc.project.target import load_target

RESULT = ROOT / "benchmarks" / "results" / "several_devices.csv"
ARMS = ("together", "apart")
IDENTITY = ("study", "devices", "passes", "paths", "lowest", "highest", "thrift", "arm", "seed")
COLUMNS = (*IDENTITY, "test", "compute", "several", "original", "chosen")
BETWEEN = " | "  # what is of one device and of the next


@dataclass(frozen=True)
class DeviceSetting(Setting):
    """What a row needs of one device."""

    device: str = "macs"

    @cached_property
    def cost(self) -> Additive:
        if self.device == "macs":
            return additive_totals(self.supernet)["macs"]
        target = load_target(self.device)
        assert target.roofline is not None, f"nothing is published of {self.device}"
        return estimated_ms(self.supernet, target.roofline, target.precision)

    @cached_property
    def allowed(self) -> list[float]:
        """The budgets: so far from the cheapest path's cost to the costliest one's."""
        space = self.supernet.space
        least, most = self.cost.of(space.smallest), self.cost.of(space.largest)
        return [least + share * (most - least) for share in self.budgets]


def settings_of(given: argparse.Namespace, seed: int) -> list[DeviceSetting]:
    """One for each device; all of them begin with the same net."""
    first, *others = [
        DeviceSetting(
            given.study, "trained", given.passes, given.paths, 0.0, seed, given.lowest,
            given.highest, given.thrift, device=device,
        )
        for device in given.devices.split(",")
    ]  # fmt: skip
    for other in others:
        vars(other).update(data=first.data, plain=first.plain, supernet=first.supernet)
    return [first, *others]


def run(settings: Sequence[DeviceSetting], arm: str) -> dict[str, object]:
    """What the paths of each device score after one arm's training."""
    first = settings[0]
    chosen = [setting.choose(first.supernet, own_scale=True) for setting in settings]
    shares = [
        Shipping.of(paths, [first.macs(path) for path in paths], first.thrift) for paths in chosen
    ]
    for setting in settings:
        setting.book.spent = 0.0
    if arm == "together":
        mixed = Shipping.mixed(shares)
        net = first.train(first.supernet, first.compute, mixed.paths, weights=mixed.weights)
        scores = [first.scores(net, paths, "test", False) for paths in chosen]
    else:
        scores = []
        for setting, paths in zip(settings, chosen, strict=True):
            net = setting.train(first.supernet, first.compute / len(settings), paths)
            scores.append(setting.scores(net, paths, "test", False))
    spent = sum(setting.book.spent for setting in settings) / first.compute
    original = first.scores(first.supernet, [first.supernet.space.largest], "test", False)
    return {
        "test": BETWEEN.join(map(joined, scores)),
        "compute": f"{spent:.3f}",
        "several": str(_several(chosen)),
        "original": joined(original),
        "chosen": BETWEEN.join(" ".join(path.id for path in paths) for paths in chosen),
    }


def _several(chosen: Sequence[Sequence[Subnet]]) -> int:
    """How many paths more than one device has."""
    every = [path for paths in chosen for path in paths]
    return sum(every.count(path) > 1 for path in set(every))


def identity(given: argparse.Namespace, arm: str, seed: int) -> dict[str, str]:
    """The columns by which a row is known."""
    values = {**vars(given), "arm": arm, "seed": seed}
    found = {name: values[name] for name in IDENTITY}
    return {n: f"{v:g}" if isinstance(v, float) else str(v) for n, v in found.items()}


def show(file: Path) -> None:
    """Of each device what its paths lose or gain by one training for all of them."""
    shared = [name for name in IDENTITY if name not in ("arm", "seed")]
    for values in sorted({tuple(row[name] for name in shared) for row in rows(file)}):
        named = dict(zip(shared, values, strict=True))
        group = list(matching(rows(file), **named))
        by_arm = {arm: {r["seed"]: r for r in group if r["arm"] == arm} for arm in ARMS}
        both = sorted(by_arm["together"].keys() & by_arm["apart"].keys())
        if not both:
            continue
        several = statistics.mean(float(by_arm["together"][seed]["several"]) for seed in both)
        original = statistics.mean(float(by_arm["together"][seed]["original"]) for seed in both)
        print(
            f"\n{named['study']}, compute of {named['passes']} passes in all, "
            f"{named['paths']} paths a device, {several:.1f} of them on several; "
            f"original {original:.2f} %, {len(both)} seeds"
        )
        print(f"  {'device':<20}{'together':>9}{'apart':>8}   together against apart")
        devices = named["devices"].split(",")
        means = {arm: {seed: _means(by_arm[arm][seed]["test"]) for seed in both} for arm in ARMS}
        for place, device in enumerate([*devices, "all"]):
            found = {arm: [means[arm][seed][place] for seed in both] for arm in ARMS}
            gaps = [a - b for a, b in zip(found["together"], found["apart"], strict=True)]
            together, apart = (statistics.mean(found[arm]) for arm in ARMS)
            print(f"  {device:<20}{together:>9.2f}{apart:>8.2f}   {interval(gaps)}")


def _means(test: str) -> list[float]:
    """Of each device's paths, and of these."""
    found = [statistics.mean(numbers(part)) for part in test.split(BETWEEN)]
    return [*found, statistics.mean(found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("study", nargs="?", choices=PLAIN, default="resnet-small")
    parser.add_argument("--devices", default="macs,jetson-orin-nano")
    parser.add_argument("--passes", type=float, default=2.5, help="of all devices together")
    parser.add_argument("--paths", type=int, default=4, help="of a device")
    parser.add_argument("--lowest", type=float, default=0.1, help="budget, from the cheapest path")
    parser.add_argument("--highest", type=float, default=0.8)
    parser.add_argument("--thrift", type=float, default=0.5)
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--csv", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "show":
        show(given.csv)
        return
    first, _, last = given.seeds.partition("-")
    for seed in range(int(first), int(last or first) + 1):
        for arm in given.arms.split(","):
            known = identity(given, arm, seed)
            if not any(matching(rows(given.csv), **known)):
                found = run(settings_of(given, seed), arm)
                add_row(given.csv, {**known, **found}, COLUMNS)
                print(arm, seed, found["test"], flush=True)


if __name__ == "__main__":
    main()
