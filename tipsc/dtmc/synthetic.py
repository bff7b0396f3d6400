"""Random supernets, to check and to time the chain on."""

from __future__ import annotations

import numpy as np

from tipsc.dtmc.graph import FeatureGraph, Supergraph


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
