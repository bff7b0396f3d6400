"""The Markov chain over a supernet: published scores, the cost-folded chain, and samplers."""

from tipsc.dtmc.best import best_walk, best_walks
from tipsc.dtmc.budget import Price, price_for
from tipsc.dtmc.choice_graph import ChoiceGraph, choice_graph
from tipsc.dtmc.dag import Dag
from tipsc.dtmc.folded import Base, FoldedChain, edge_weights, graph_for
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
from tipsc.dtmc.mixture import FoldedMixture, Spread
from tipsc.dtmc.samplers import Sampler, Sandwich, Uniform
from tipsc.dtmc.tips import Tips, tips_sampler
from tipsc.dtmc.walk_chain import EdgeWeights, WalkChain

__all__ = [
    "Base",
    "ChoiceGraph",
    "Dag",
    "EdgeWeights",
    "FeatureGraph",
    "FoldedChain",
    "FoldedMixture",
    "Price",
    "Sampler",
    "Sandwich",
    "Spread",
    "Step",
    "Supergraph",
    "Tips",
    "Uniform",
    "WalkChain",
    "accumulated_degree",
    "best_walk",
    "best_walks",
    "choice_graph",
    "edge_weights",
    "feature_graph",
    "feature_maps",
    "graph_for",
    "heaviest_route",
    "hyper_adjacency",
    "is_connected",
    "operation_importance",
    "price_for",
    "stationary",
    "stationary_by_eigen",
    "supergraph",
    "tas",
    "tips_sampler",
    "tps",
]
