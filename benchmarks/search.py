"""Search on the chain against random search: ``python benchmarks/search.py --folder F [--json F]``.

The supernet of examples/fashion_mnist, trained once; a latency predictor fitted to 50 paths that
are measured on this machine; six budgets, log-spaced over the upper two thirds of the range (below,
fewer than 60 paths are near one). Random search evaluates 24 random paths a budget in full and
takes the most accurate within each budget. A search seed draws its 24 from 60 paths, which are
drawn uniformly from all with a predicted latency between 85 and 100 % of the budget. The chain's
search gets the same predictor. An evaluation is as many images through a path as calibrating and
validating it in full take, so that a first look counts as much as it costs. Accuracies of the
chosen paths are on test images. Everything that is slow is kept in the folder: a run that was
killed goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from figures import machine
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from scipy.stats import t as student

from tipsc.dtmc.folded import FoldedChain
from tipsc.elastic import Supernet, additive_totals, extract
from tipsc.factors import Additive, unary
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.pipeline.fold import cost_of_profile
from tipsc.pipeline.profile import Bench, profile_paths
from tipsc.profile import Profile
from tipsc.project.config import load_config
from tipsc.project.loading import load_data, make_supernet
from tipsc.project.target import load_target
from tipsc.search import Rung, Surrogate, rungs, search, spaced_budgets
from tipsc.search.candidates import draw_spread
from tipsc.train import Data, Split, calibrate, quality_of, train
from tipsc.train.samplers import Learning, adaptive, sampler
from tipsc.train.utility import Utility

EXAMPLE = File(__file__).parent.parent / "examples" / "fashion_mnist"
BUDGETS, PER_BUDGET, POOL, NEAR = 6, 24, 60, 0.85
RANDOM = BUDGETS * PER_BUDGET
SPENT = (RANDOM // 8, RANDOM // 4, RANDOM)
MEASURED = 50


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def silent(done: float, total: float, note: str = "") -> None:
    """Progress that nobody sees."""


@dataclass
class Evaluator:
    """Accuracies of paths, kept in a file."""

    supernet: Supernet
    data: Data
    file: File
    known: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file.exists():
            self.known = json.loads(self.file.read_text())

    def validation(self, paths: Sequence[Path], rung: Rung) -> list[float]:
        split = self.data.validation
        split = Split(split.inputs[: rung.validation], split.targets[: rung.validation])
        return [self._of(path, rung, split, "validation") for path in paths]

    def test(self, path: Path, full: Rung) -> float:
        return self._of(path, full, self.data.test, "test")

    def _of(self, path: Path, rung: Rung, split: Split, name: str) -> float:
        key = f"{path.id} {rung.calibration} {name} {len(split)}"
        if key not in self.known:
            batches = self.data.calibration(rung.calibration)
            statistics = calibrate(self.supernet, path, batches)
            self.known[key] = quality_of(
                extract(self.supernet, path, statistics), split, self.data.task
            ).value
            if len(self.known) % 20 == 0:
                self.save()
                say(f"{len(self.known)} evaluations")
        return self.known[key]

    def save(self) -> None:
        self.file.write_text(json.dumps(self.known))


def trained(folder: File, epochs: int) -> tuple[Supernet, Data, Additive]:
    """The supernet, its data, and the utility that it learned beside its weights."""
    config, place = load_config(EXAMPLE)
    config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": epochs})})
    supernet, data = make_supernet(config, place), load_data(config, place)
    utility, file = Utility(supernet.space), folder / "trained.pt"
    if not file.exists():
        drawing = adaptive(sampler(config.train.sampler, supernet, config.seed))
        learning = Learning(drawing, utility)

        def tell(done: int, total: int, fields: Any) -> None:
            if done % 50 == 0:
                say(f"step {done} of {total}, loss {fields['loss']:.3f}")

        train(supernet, data, config.training, learning, folder=folder / "train", progress=tell)
        torch.save({"weights": supernet.state_dict(), "utility": utility.state()}, file)
    state = torch.load(file, weights_only=True)
    supernet.load_state_dict(state["weights"])
    utility.load_state(state["utility"])
    return supernet.eval(), data, utility.additive()


def latency(supernet: Supernet, data: Data, folder: File) -> Additive:
    """The predicted latency in ms, fitted to what is measured here once."""
    totals, file = additive_totals(supernet), folder / "profile.json"
    if not file.exists():
        say("measuring")
        images = data.validation.inputs[:64]
        bench = Bench("search", load_target("host"), "", supernet, totals, images, seed=0)
        pool = draw_spread(supernet.space, totals["macs"], 4 * MEASURED, random.Random(0))
        profile_paths(bench, pool, MEASURED, folder / "profile.tipsc", silent).save(file)
    return cost_of_profile(supernet, Profile.load(file), totals=totals)


def random_paths(
    paths: Sequence[Path], costs: npt.NDArray[np.float64], budget: float, count: int
) -> list[Path]:
    """Distinct paths, uniformly drawn from those with a cost just below the budget."""
    near = np.flatnonzero((costs >= NEAR * budget) & (costs <= budget))
    if len(near) < count:
        raise SystemExit(f"only {len(near)} paths cost {NEAR:.0%} to 100 % of {budget:.3g} ms")
    drawn = random.Random(f"pool {budget:.9g}").sample(near.tolist(), count)
    return [paths[place] for place in drawn]


def chosen(worth: dict[Path, float], cost: Additive, budgets: Sequence[float]) -> list[Path]:
    """For each budget the path within it that is worth most."""
    costs = {path: cost.of(path) for path in worth}
    return [
        max((p for p in worth if costs[p] <= b * (1 + 1e-9)), key=lambda p: (worth[p], p.id))
        for b in budgets
    ]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95 % confidence interval (Student's t)."""
    n = len(values)
    half = float(student.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return float(np.mean(values)), half


def compare(folder: File, seeds: int, epochs: int) -> dict[str, Any]:
    supernet, data, utility = trained(folder, epochs)
    space = supernet.space
    cost = latency(supernet, data, folder)
    low, high = FoldedChain.of(cost).cost_range
    budgets = [low * (high / low) ** ((i + 3) / (BUDGETS + 3)) for i in range(BUDGETS)]
    first, full = rungs(2000, len(data.validation))
    evaluator = Evaluator(supernet, data, folder / "evaluations.json")

    everything = [space.path_at(index) for index in range(space.size)]
    costs = cost.of_many(everything)
    pools = [random_paths(everything, costs, budget, POOL) for budget in budgets]
    truth = {p: evaluator.validation([p], full)[0] for pool in pools for p in pool}
    learned = [
        float(spearmanr(utility.of_many(pool), [truth[p] for p in pool])[0]) for pool in pools
    ]
    by_cost = [float(spearmanr(cost.of_many(pool), [truth[p] for p in pool])[0]) for pool in pools]
    say(f"Spearman of the learned utility: {learned}")

    arms: dict[str, Callable[[int], tuple[dict[Path, float], float]]] = {}

    def random_arm(seed: int, with_surrogate: bool) -> tuple[dict[Path, float], float]:
        generator = random.Random(f"random {seed}")
        drawn = [path for pool in pools for path in generator.sample(pool, PER_BUDGET)]
        worth = {path: truth[path] for path in drawn}
        if with_surrogate:
            images = [full.validation] * len(worth)
            model = Surrogate.fit(space, list(worth), list(worth.values()), images).mean
            worth = {path: (own + model.of(path)) / 2 for path, own in worth.items()}
        return worth, float(len(drawn))

    def chain_arm(seed: int, spent: int, prior: Additive | None) -> tuple[dict[Path, float], float]:
        found = search(
            cost,
            budgets,
            evaluator.validation,
            (first, full),
            evaluations=spent,
            prior=prior,
            seed=seed,
        )
        return {f.path: f.expected for f in found.finalists}, found.images / full.images

    arms["random"] = lambda seed: random_arm(seed, False)
    arms["random, by surrogate"] = lambda seed: random_arm(seed, True)
    for spent in SPENT:
        arms[f"chain, {spent}"] = lambda seed, spent=spent: chain_arm(seed, spent, None)  # type: ignore[misc]
    arms[f"chain, {SPENT[1]}, learned utility"] = lambda seed: chain_arm(seed, SPENT[1], utility)

    results: dict[str, Any] = {}
    base: list[float] = []
    for name, arm in arms.items():
        tests, spent_images = [], []
        for seed in range(seeds):
            worth, evaluations = arm(seed)
            tests.append([evaluator.test(p, full) for p in chosen(worth, cost, budgets)])
            spent_images.append(evaluations)
        means = [float(np.mean(row)) for row in tests]
        base = base or means
        mean, half = interval([100 * m for m in means])
        gain, gain_half = interval([100 * (m - b) for m, b in zip(means, base, strict=True)])
        results[name] = {
            "evaluations": float(np.mean(spent_images)),
            "test_accuracy": mean,
            "interval": half,
            "gain": gain,
            "gain_interval": gain_half,
            "by_budget": [100 * float(np.mean(column)) for column in zip(*tests, strict=True)],
            "by_seed": [100 * m for m in means],
        }
        say(f"{name}: {mean:.2f} +- {half:.2f}, gain {gain:+.2f}")
    evaluator.save()
    return {
        "space": space.size,
        "budgets_ms": budgets,
        "seeds": seeds,
        "epochs": epochs,
        "arms": results,
        "spearman_learned_utility": learned,
        "spearman_cost": by_cost,
        "accuracy_sd_at_a_budget": [
            100 * float(np.std([truth[p] for p in pool])) for pool in pools
        ],
    }


def large_space() -> dict[str, float]:
    """Seconds of a search of 4^30 paths whose evaluation takes no time."""
    space = SearchSpace(tuple(Choice(f"c{i}", (1, 2, 3, 4)) for i in range(30)))
    generator = np.random.default_rng(0)

    def rising() -> Additive:
        return unary(space, {c.name: np.cumsum(generator.uniform(0, 1, 4)) for c in space.choices})

    cost, worth = rising() + 1.0, rising() * 0.005
    low, high = FoldedChain.of(cost).cost_range
    start = time.perf_counter()
    found = search(
        cost,
        spaced_budgets(low, high, 8),
        lambda paths, _: worth.of_many(paths).tolist(),
        rungs(2000, 2000),
        evaluations=64,
        seed=0,
    )
    seconds = time.perf_counter() - start
    return {"paths": float(space.size), "seconds": seconds, "looked_at": found.looked_at}


def table_of(result: dict[str, Any]) -> Table:
    table = Table(
        title="test accuracy of the chosen paths and evaluations spent, mean of "
        f"{len(result['budgets_ms'])} budgets, {result['seeds']} seeds",
        caption="Spearman of the learned utility with validation accuracy, 60 random paths at a "
        "budget: " + ", ".join(f"{s:.2f}" for s in result["spearman_learned_utility"]),
    )
    table.add_column("search", no_wrap=True)
    for head in ("spent", "accuracy %", "against random"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, arm in result["arms"].items():
        table.add_row(
            name,
            f"{arm['evaluations']:.1f}",
            f"{arm['test_accuracy']:.2f} ± {arm['interval']:.2f}",
            f"{arm['gain']:+.2f} ± {arm['gain_interval']:.2f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=File, required=True, help="keeps what is slow")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12, help="of training")
    parser.add_argument("--json", type=File)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    result = compare(arguments.folder, arguments.seeds, arguments.epochs)
    result["large_space"] = large_space()
    Console().print(table_of(result))
    large = result["large_space"]
    print(f"a space of {large['paths']:.2g} paths: {large['seconds']:.1f} s without evaluations")
    if arguments.json:
        command = f"python benchmarks/search.py --folder F --seeds {arguments.seeds} "
        command += f"--epochs {arguments.epochs} --json FILE"
        versions = {**machine(), "torch": torch.__version__}
        document = {"machine": versions, "command": command, **result}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
