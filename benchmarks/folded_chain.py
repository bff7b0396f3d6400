"""Figures of the cost-folded chain, for ``benchmarks/dtmc.py``."""

from __future__ import annotations

import itertools
import math
import random
import time

import numpy as np
from figures import Figure, best_of

from tipsc.dtmc.best import best_walks
from tipsc.dtmc.budget import price_for
from tipsc.dtmc.dag import Dag
from tipsc.dtmc.folded import FoldedChain, graph_for
from tipsc.dtmc.mixture import FoldedMixture
from tipsc.dtmc.synthetic import layered_dag, random_edge_weights
from tipsc.dtmc.walk_chain import EdgeWeights, WalkChain
from tipsc.factors import Additive, Factor
from tipsc.paths import SearchSpace


def large_graph(layers: int = 50, width: int = 100, out: int = 20) -> list[Figure]:
    """One chain over about 10^5 operations."""
    generator = np.random.default_rng(0)
    dag = layered_dag(generator, layers=layers, width=width, out=out)
    edges = len(dag.tail)
    cost, utility = generator.random(edges), generator.normal(size=edges)

    def forward_and_backward() -> WalkChain:
        chain = WalkChain(EdgeWeights(dag, cost, utility), 1.0, 0.5)
        assert chain.stationary.sum() > 0
        return chain

    def fresh() -> EdgeWeights:
        return EdgeWeights(dag, cost, utility)

    def with_a_new_graph() -> None:
        new = Dag(dag.nodes, dag.tail, dag.head)
        assert WalkChain(EdgeWeights(new, cost, utility), 1.0, 0.5).stationary.sum() > 0

    low, high = fresh().range
    budgets = [low + share * (high - low) for share in (0.05, 0.2, 0.5, 0.8, 0.95)]
    forward_and_backward()
    solving = [best_of(3, lambda b=budget: price_for(fresh(), b, eta=0.5)) for budget in budgets]
    return [
        Figure("folded_operations", edges, ""),
        Figure("folded_levels", int(dag.level[0]), ""),
        Figure("folded_with_graph_ms", best_of(3, with_a_new_graph) * 1e3, "ms"),
        Figure("folded_forward_backward_ms", best_of(9, forward_and_backward) * 1e3, "ms", bar=50),
        Figure("folded_budget_ms", max(solving) * 1e3, "ms"),
        Figure("folded_best_100_ms", best_of(3, lambda: best_walks(dag, -cost, 100)) * 1e3, "ms"),
    ]


def evaluations(graphs: int = 2000) -> list[Figure]:
    """How many chains a budget takes, over graphs and costs of many kinds."""
    used = []
    shares = (1e-4, 0.01, 0.1, 0.4, 0.7, 0.95, 1 - 1e-4)
    for seed in range(graphs):
        weights = random_edge_weights(np.random.default_rng(seed))
        low, high = weights.range
        used += [price_for(weights, low + s * (high - low)).evaluations for s in shares]
    return [
        Figure("folded_budgets_solved", len(used), ""),
        Figure("folded_evaluations_mean", float(np.mean(used)), ""),
        Figure("folded_evaluations_most", max(used), "", bar=10),
    ]


def exactness(graphs: int = 300) -> list[Figure]:
    """Probabilities of all walks against their definition."""
    worst = 0.0
    for seed in range(graphs):
        weights = random_edge_weights(np.random.default_rng(seed))
        if weights.dag.walks > 5000:
            continue
        spread = weights.range[1] - weights.range[0]
        mu = 3.0 / spread if spread > 0 else 1.0
        chain = WalkChain(weights, mu, 1.0)
        walks = best_walks(weights.dag, weights.utility - mu * weights.cost, weights.dag.walks)
        log_weight = np.array([total for total, _ in walks])
        truth = np.exp(log_weight - log_weight.max())
        truth /= truth.sum()
        given = [math.exp(math.fsum(chain.log_transition[list(w)])) for _, w in walks]
        worst = max(worst, float(np.abs(truth - given).max()))
    return [Figure("folded_probability_error", worst, "", bar=1e-12)]


def device(space: SearchSpace, seed: int) -> Additive:
    """A made-up device: a cost for each option, for width with kernel, and for neighbours."""
    generator = np.random.default_rng(seed)
    names = [choice.name for choice in space.choices]
    widths = [name for name in names if name.endswith("width")]
    scopes = [(name,) for name in names]
    scopes += [
        (name, name.replace("width", "kernel"))
        for name in widths
        if name.replace("width", "kernel") in names
    ]
    scopes += list(itertools.pairwise(widths))
    factors = [
        Factor(scope, generator.random([len(space[name].options) for name in scope]))
        for scope in scopes
    ]
    return Additive(space, 1.0, tuple(factors))


def drawing(space: SearchSpace, draws: int = 2000) -> list[Figure]:
    """The sampler of training, on a space of 45 choices whose neighbours are coupled."""
    costs = [device(space, seed) for seed in range(3)]
    chain = FoldedChain.of(costs[0], mu=-math.inf)  # the dearest path, which makes every choice
    assert len(chain.graph.walk(chain.sample(random.Random(0)))) == 1 + len(space.choices)
    moderate = chain.at(mu=0.0)
    start = time.perf_counter()
    mixture = FoldedMixture.of(costs)
    construction = time.perf_counter() - start
    chain.sample(random.Random(0))
    mixture.draw(random.Random(0), 200)
    generator = random.Random(0)
    moderate.sample(generator)
    usual = best_of(5, lambda: [moderate.sample(generator) for _ in range(draws)]) / draws
    one = best_of(5, lambda: [chain.sample(generator) for _ in range(draws)]) / draws
    four = best_of(5, lambda: [mixture.draw(generator, 4) for _ in range(draws // 4)]) / draws
    many = best_of(5, lambda: moderate.sample_walks(np.random.default_rng(0), 100_000)) / 100_000
    new = [device(space, seed) for seed in range(3, 6)]
    return [
        Figure("folded_choices", len(space.choices), ""),
        Figure("folded_choices_operations", len(chain.graph.choice), ""),
        Figure("folded_draw_us", usual * 1e6, "us", bar=60),
        Figure("folded_longest_draw_us", one * 1e6, "us", bar=60),
        Figure("folded_mixture_draw_of_4_us", four * 1e6, "us"),
        Figure("folded_vector_draw_us", many * 1e6, "us"),
        Figure("folded_space_best_100_ms", best_of(3, lambda: moderate.cheapest(100)) * 1e3, "ms"),
        Figure("folded_construction_3_devices_s", construction, "s"),
        Figure("folded_refold_3_devices_s", best_of(3, lambda: mixture.refolded(new)), "s", bar=1),
    ]


def mobilenet() -> list[Figure]:
    """From a supernet to its chain: MobileNetV2's space, its MACs, three devices."""
    from tipsc.elastic import additive_totals, family

    supernet = family("mobilenet-v2", classes=10)
    start = time.perf_counter()
    macs = additive_totals(supernet)["macs"]
    counting = time.perf_counter() - start
    costs = [macs * 1e-6 + device(supernet.space, seed) for seed in range(3)]
    start = time.perf_counter()
    mixture = FoldedMixture.of(costs)
    construction = time.perf_counter() - start
    new = [macs * 2e-6 + device(supernet.space, seed) for seed in range(3, 6)]
    return [
        Figure("mobilenet_v2_choices", len(supernet.space.choices), ""),
        Figure("mobilenet_v2_macs_as_factors_s", counting, "s"),
        Figure("mobilenet_v2_operations_macs", len(graph_for(macs).choice), ""),
        Figure("mobilenet_v2_operations_coupled", len(mixture.chains[0].graph.choice), ""),
        Figure("mobilenet_v2_construction_3_devices_s", construction, "s"),
        Figure(
            "mobilenet_v2_refold_3_devices_s", best_of(3, lambda: mixture.refolded(new)), "s", bar=1
        ),
    ]
