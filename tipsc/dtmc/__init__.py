"""The Markov chain over a supernet's feature maps: its scores, and the samplers drawn from it."""

from tipsc.dtmc.graph import FeatureGraph, Step, Supergraph, feature_graph, feature_maps, supergraph
from tipsc.dtmc.hyper import (
    accumulated_degree,
    heaviest_route,
    hyper_adjacency,
    is_connected,
    operation_importance,
    stationary,
    stationary_by_eigen,
    tas,
    tps,
)
from tipsc.dtmc.samplers import Sampler, Sandwich, Uniform
from tipsc.dtmc.tips import Tips, tips_sampler

__all__ = [
    "FeatureGraph",
    "Sampler",
    "Sandwich",
    "Step",
    "Supergraph",
    "Tips",
    "Uniform",
    "accumulated_degree",
    "feature_graph",
    "feature_maps",
    "heaviest_route",
    "hyper_adjacency",
    "is_connected",
    "operation_importance",
    "stationary",
    "stationary_by_eigen",
    "supergraph",
    "tas",
    "tips_sampler",
    "tps",
]
