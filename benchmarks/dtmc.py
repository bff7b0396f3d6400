"""Speed and exactness of the chains: ``python benchmarks/dtmc.py [--json FILE]``.

Times are the best of several rounds in one thread; the machine is printed with them.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path as File
from typing import Any

import folded_chain
import numpy as np
from figures import Figure, best_of, machine

from tipsc.dtmc.graph import Supergraph, supergraph
from tipsc.dtmc.hyper import (
    accumulated_degree,
    heaviest_route,
    hyper_adjacency,
    operation_importance,
    stationary,
    stationary_by_eigen,
    tas,
    tps,
)
from tipsc.dtmc.samplers import Sandwich, Uniform
from tipsc.dtmc.synthetic import random_supergraph
from tipsc.dtmc.tips import tips_sampler
from tipsc.paths import Choice, Path, SearchSpace

COUPLINGS = (0.01, 0.1, 1.0, 10.0)


def scoring(nodes: int, subnetworks: int) -> list[Figure]:
    big = random_supergraph(np.random.default_rng(0), nodes=nodes, subnetworks=subnetworks)

    def score() -> None:
        fresh = Supergraph(big.graph, big.active)  # nothing cached
        tps(fresh, tas(fresh))

    scores = tas(big)
    return [
        Figure("nodes", nodes, ""),
        Figure("operations", len(big.graph.operations), ""),
        Figure("subnetworks", subnetworks, ""),
        Figure("tas_and_tps_s", best_of(5, score), "s", bar=1.0),
        Figure("heaviest_route_s", best_of(3, lambda: heaviest_route(big.graph, scores)), "s"),
        Figure("importance_s", best_of(3, lambda: operation_importance(big.graph, scores)), "s"),
    ]


def exactness(supernets: int) -> list[Figure]:
    worst = worst_tas = 0.0
    for seed in range(supernets):
        generator = np.random.default_rng(seed)
        size = int(generator.integers(2, 14))
        union = random_supergraph(generator, nodes=size, subnetworks=1 + seed % 32)
        for coupling in COUPLINGS:
            pi = np.zeros(union.present.shape)
            pi[union.present] = stationary_by_eigen(hyper_adjacency(union, coupling))
            worst = max(worst, float(np.abs(pi - stationary(union, coupling)).max()))
            worst_tas = max(worst_tas, float(np.abs(pi.sum(axis=0) - tas(union, coupling)).max()))
    return [
        Figure("supernets_x_couplings", supernets * len(COUPLINGS), ""),
        Figure("stationary_error", worst, "", bar=1e-10),
        Figure("tas_error", worst_tas, "", bar=1e-10),
    ]


@dataclass(frozen=True)
class _Step:
    label: str
    inputs: tuple[str, ...]
    channel_groups: int = 1
    channelwise: bool = False


def _space(stages: int, blocks: int) -> SearchSpace:
    choices = []
    for stage in range(stages):
        choices.append(Choice(f"s{stage}.depth", tuple(range(1, blocks + 1))))
        for block in range(blocks):
            name, gate = f"s{stage}.b{block}", (f"s{stage}.depth", block + 1)
            choices.append(Choice(f"{name}.width", (16, 24, 32), *gate))
            choices.append(Choice(f"{name}.kernel", (3, 5), *gate))
    return SearchSpace(tuple(choices))


def _steps(path: Path) -> list[_Step]:
    steps, last = [], "input"
    for name, option in path.options.items():
        stage, _, kind = name.rpartition(".")
        if kind != "depth":
            continue
        for block in range(option):
            layer, groups = f"{stage}.b{block}", path[f"{stage}.b{block}.width"] // 8 - 1
            steps.append(_Step(f"{layer}.expand", (last,), groups))
            steps.append(_Step(f"{layer}.depthwise", (f"{layer}.expand",), groups, True))
            steps.append(_Step(f"{layer}.project", (f"{layer}.depthwise",)))
            steps.append(_Step(f"{layer}.add", (f"{layer}.project", last)))
            last = f"{layer}.add"
    return steps


def drawing(draws: int) -> list[Figure]:
    space = _space(stages=5, blocks=4)
    start = time.perf_counter()
    sampler = tips_sampler(space, _steps, random.Random(0))
    construction = time.perf_counter() - start
    sampler.draw(random.Random(0), 1)

    def micros(which: Any) -> float:
        generator = random.Random(0)
        return best_of(5, lambda: which.draw(generator, draws)) / draws * 1e6

    return [
        Figure("choices", len(space.choices), ""),
        Figure("tips_construction_s", construction, "s"),
        Figure("tips_draw_us", micros(sampler), "us", bar=1000.0),
        Figure("uniform_draw_us", micros(Uniform(space)), "us", bar=1000.0),
        Figure("sandwich_tips_draw_us", micros(Sandwich(space, sampler)), "us", bar=1000.0),
    ]


def families(subnetworks: int) -> list[Figure]:
    """What the scores of real supernets carry, with the width groups of the steps and without."""
    from scipy.stats import pearsonr, spearmanr

    from tipsc.elastic.cost import CostModel
    from tipsc.elastic.families import family

    figures = []
    for name, arguments in (
        ("mobilenet-v2", {"classes": 10}),
        ("transformer", {"classes": 10, "input_shape": (1, 28, 28), "patch": 7}),
        ("temporal", {"classes": 7, "input_shape": (6, 64)}),
    ):
        supernet = family(name, **arguments)
        space, model, generator = supernet.space, CostModel(supernet), random.Random(0)
        uniform = [space.sample_options(generator) for _ in range(subnetworks - 2)]
        paths = [space.largest, space.smallest, *uniform]
        macs = [model.of(path).macs for path in paths]
        grouped = [model.trace(path).steps for path in paths]
        plain = [[_Step(step.label, step.inputs) for step in trace] for trace in grouped]
        for kind, traces in (("plain", plain), ("grouped", grouped)):
            union = supergraph(traces)
            scores, degree = tas(union), accumulated_degree(union)
            coupled = 1 - accumulated_degree(union, 0.0).sum() / degree.sum()
            copies = union.present.sum(axis=0)
            label = f"{name} {kind}"
            figures += [
                Figure(f"{label}: feature maps", len(scores), ""),
                Figure(f"{label}: r(TAS, degree)", float(pearsonr(scores, degree)[0]), ""),
                Figure(f"{label}: share of coupling", float(coupled), ""),
                Figure(f"{label}: r(TAS, copies)", float(pearsonr(scores, copies)[0]), ""),
                Figure(
                    f"{label}: rho(TPS, MACs)", float(spearmanr(tps(union, scores), macs)[0]), ""
                ),
            ]
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=File, metavar="FILE", help="write the figures there too")
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--subnetworks", type=int, default=64)
    parser.add_argument("--supernets", type=int, default=200)
    parser.add_argument("--families", action="store_true", help="score tipsc's own supernets too")
    arguments = parser.parse_args()
    figures = [
        *scoring(arguments.nodes, arguments.subnetworks),
        *exactness(arguments.supernets),
        *drawing(1000),
        *folded_chain.large_graph(),
        *folded_chain.evaluations(),
        *folded_chain.exactness(),
        *folded_chain.drawing(_space(stages=5, blocks=4)),
        *folded_chain.mobilenet(),
        *(families(100) if arguments.families else []),
    ]
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    for figure in figures:
        bar = "" if figure.bar is None else f"at most {figure.bar:g}"
        missed = "  MISSED" if figure.bar is not None and figure.value > figure.bar else ""
        value = f"{figure.value:,}" if isinstance(figure.value, int) else f"{figure.value:.3g}"
        print(f"{figure.name:<40}{value:>12} {figure.unit:<4}{bar}{missed}")
    if arguments.json:
        report = {"machine": about, "figures": [asdict(figure) for figure in figures]}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return int(any(f.bar is not None and f.value > f.bar for f in figures))


if __name__ == "__main__":
    raise SystemExit(main())
