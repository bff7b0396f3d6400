"""Degree-only: the ablation of TIPS that asks what its Markov chain adds.

Paths are drawn as in :mod:`tipsc.dtmc.tips`, but the score of a feature map is its plain degree in
the graph of the largest path: no subnetworks, no coupling, no chain.
"""

from __future__ import annotations

import math
import random

from tipsc.dtmc.graph import feature_maps, supergraph
from tipsc.dtmc.hyper import accumulated_degree
from tipsc.dtmc.tips import Tips, score_sampler
from tipsc.elastic import CostModel, Supernet
from tipsc.train.chance import seed_of


def make(supernet: Supernet, seed: int, temperature: float = 1.0) -> Tips:
    """A higher score is drawn more often.

    Args:
        temperature: in standard deviations of the score, above 0; the higher the more uniform.
    """
    model, space = CostModel(supernet), supernet.space
    whole = supergraph([model.trace(space.largest).steps])
    nodes = whole.graph.nodes
    degree = dict(zip(nodes, accumulated_degree(whole, 0.0).tolist(), strict=True))
    return score_sampler(
        space,
        lambda path: math.fsum(degree.get(n, 0.0) for n in feature_maps(model.trace(path).steps)),
        random.Random(seed_of("degree", seed)),
        temperature=temperature,
    )
