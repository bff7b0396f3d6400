"""Random supernets and random chains, to check and to time on."""

from __future__ import annotations

import itertools

import numpy as np

from tipsc.dtmc.dag import Dag
from tipsc.dtmc.graph import FeatureGraph, Supergraph
from tipsc.dtmc.walk_chain import EdgeWeights


def random_supergraph(
    generator: np.random.Generator, *, nodes: int, subnetworks: int, reach: int = 8
) -> Supergraph:
    """A random supernet with `subnetworks` random subnetworks.

    Each feature map reads one of the `reach` before it, and every other one on average a second
    (a skip). The first subnetwork keeps the first input of each feature map, so that the chain is
    connected for any positive coupling; beyond that an operation is kept with a probability that
    each subnetwork draws for itself, between 0.3 and 1.
    """
    heads = np.arange(1, nodes)
    first = generator.integers(np.maximum(heads - reach, 0), heads)
    second = generator.integers(np.maximum(heads - reach, 0), heads)
    skip = (generator.random(nodes - 1) < 0.5) & (second != first)
    tail = np.concatenate([first, second[skip]])
    head = np.concatenate([heads, heads[skip]])
    keep = generator.uniform(0.3, 1.0, size=(subnetworks, 1))
    active = generator.random((subnetworks, len(tail)), dtype=np.float32) < keep
    active[0, : nodes - 1] = True
    graph = FeatureGraph(
        nodes=tuple(f"v{number}" for number in range(nodes)),
        tail=tail,
        head=head,
        operations=tuple(f"e{number}" for number in range(len(tail))),
        input=0,
        output=nodes - 1,
    )
    return Supergraph(graph, active)


def random_dag(generator: np.random.Generator, nodes: int, *, reach: int = 4, out: int = 3) -> Dag:
    """A graph in which 1 to `out` edges leave each node for one of the `reach` after it.

    Edges may be parallel, stand in no order, and nodes may be out of reach of the input.
    """
    tail = np.repeat(np.arange(nodes - 1), generator.integers(1, out + 1, size=nodes - 1))
    head = generator.integers(tail + 1, np.minimum(tail + 1 + reach, nodes))
    order = generator.permutation(len(tail))
    return Dag(nodes, tail[order], head[order])


def layered_dag(generator: np.random.Generator, *, layers: int, width: int, out: int) -> Dag:
    """Layers of `width` nodes, each with `out` edges to random nodes of the next layer."""
    begin = 1 + width * np.arange(layers)
    tail, head = [np.zeros(width, np.int64)], [begin[0] + np.arange(width)]
    for first, following in itertools.pairwise(begin):
        tail.append(np.repeat(first + np.arange(width), out))
        head.append(following + generator.integers(0, width, size=width * out))
    tail.append(begin[-1] + np.arange(width))
    head.append(np.full(width, begin[-1] + width))
    return Dag(int(begin[-1]) + width + 1, np.concatenate(tail), np.concatenate(head))


def random_edge_weights(generator: np.random.Generator) -> EdgeWeights:
    """A small graph or a row of blocks, with costs of many kinds: of one scale or of several, with
    ties, nearly all fixed, in any unit."""
    if generator.random() < 0.5:
        dag = random_dag(generator, int(generator.integers(2, 12)))
    else:
        options = generator.integers(1, 5, size=int(generator.integers(1, 40)))
        tail = np.repeat(np.arange(len(options)), options)
        dag = Dag(len(options) + 1, tail, tail + 1)
    edges = len(dag.tail)
    kinds = (
        generator.random(edges),
        np.exp(generator.normal(0, generator.choice([0.5, 1, 2]), edges)),
        generator.integers(0, 4, edges).astype(np.float64),
        100 + generator.random(edges),
        np.where(generator.random(edges) < 0.3, 1000.0, 1.0) * generator.random(edges),
    )
    cost = kinds[generator.integers(len(kinds))] * 10.0 ** generator.integers(-6, 7)
    return EdgeWeights(dag, cost, generator.normal(0, 1, edges))
