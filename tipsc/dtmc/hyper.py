"""The published chain: hyper-adjacency, stationary distribution, TAS and TPS.

T subnetworks give T copies of the feature maps. On the diagonal of the hyper-adjacency H(lambda)
stand their symmetric adjacency matrices; off it, the weight lambda joins the copies of a feature
map that is present in both subnetworks, for all pairs. Row-normalised, H is a discrete-time Markov
chain with stationary distribution pi; TAS (eq. 6-8 of TIPS, arXiv 2305.08021) adds pi over the
copies of a feature map, TPS (eq. 9) adds TAS along a path.

H is symmetric, so pi is its row sums divided by their total, and everything here is closed form
in O(T E). :func:`stationary_by_eigen` is the independent check. ``docs/chain.md`` has the proof
and what follows from it.

Where H falls apart (lambda = 0 with several copies, for example) the chain has one stationary
distribution for each component and all their mixtures. The functions here then return the mixture
in which a component weighs as much as its share of all row sums. For lambda = 0 that is the limit
of small lambda. :func:`is_connected` tells.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tipsc.dtmc.graph import FeatureGraph, Supergraph
from tipsc.errors import DataError

Floats = NDArray[np.float64]

DENSE_STATES = 128
"""Up to so many states the dense eigen-solver is the faster one."""


def accumulated_degree(supergraph: Supergraph, coupling: float = 1.0) -> Floats:
    """(N,) sum over the copies of a feature map of their row sums in H(coupling).

    With c(e) the number of subnetworks that run edge e, and m(v) the number that hold node v:
    sum of c(e) over the edges at v, plus coupling * m(v) * (m(v) - 1).
    """
    _check(coupling)
    graph, count = supergraph.graph, len(supergraph.graph.nodes)
    uses = np.count_nonzero(supergraph.active, axis=0).astype(np.float64)
    degree = np.bincount(graph.tail, uses, count) + np.bincount(graph.head, uses, count)
    copies = np.count_nonzero(supergraph.present, axis=0).astype(np.float64)
    return degree + coupling * copies * (copies - 1.0)


def tas(supergraph: Supergraph, coupling: float = 1.0) -> Floats:
    """(N,) topological accumulated score of each feature map; sums to one.

    Args:
        coupling: lambda of the paper, the weight between two copies of a feature map; at least 0.
    """
    degree = accumulated_degree(supergraph, coupling)
    return degree / degree.sum()


def tps(supergraph: Supergraph, scores: Floats) -> Floats:
    """(T,) topological path score of each subnetwork: the sum of TAS over its feature maps.

    Args:
        scores: (N,) TAS.
    """
    return supergraph.present @ scores


def stationary(supergraph: Supergraph, coupling: float = 1.0) -> Floats:
    """(T, N) stationary probability of each copy of each feature map; zero where it is absent."""
    _check(coupling)
    graph, present = supergraph.graph, supergraph.present
    count = len(graph.nodes)
    degree = coupling * present * np.maximum(present.sum(axis=0) - 1.0, 0.0)
    for row, edges in zip(degree, supergraph.active, strict=True):
        row += np.bincount(graph.tail[edges], minlength=count)
        row += np.bincount(graph.head[edges], minlength=count)
    return degree / degree.sum()


def is_connected(supergraph: Supergraph, coupling: float = 1.0) -> bool:
    """Whether H(coupling) is connected, and its stationary distribution therefore unique."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if coupling == 0 and np.count_nonzero(supergraph.active.any(axis=1)) > 1:
        return False
    # A positive coupling makes the copies of a feature map one component, so H is connected
    # exactly when the union of the subnetworks is.
    graph, used = supergraph.graph, supergraph.active.any(axis=0)
    size = len(graph.nodes)
    union = coo_array(
        (np.ones(int(used.sum())), (graph.tail[used], graph.head[used])), shape=(size, size)
    )
    _, component = connected_components(union, directed=False)
    return len(np.unique(component[supergraph.present.any(axis=0)])) == 1


def hyper_adjacency(supergraph: Supergraph, coupling: float = 1.0) -> Any:
    """H(coupling) as a scipy.sparse.csr_array over the S copies that are present.

    The order of its states is that of ``stationary(...)[supergraph.present]``. It has
    T^2 N coupling entries: for checks, not for large supernets.
    """
    from scipy.sparse import coo_array

    _check(coupling)
    graph, present = supergraph.graph, supergraph.present
    state = np.full(present.shape, -1, dtype=np.int64)
    state[present] = np.arange(np.count_nonzero(present))
    copy, edge = np.nonzero(supergraph.active)
    rows, columns = [state[copy, graph.tail[edge]]], [state[copy, graph.head[edge]]]
    for first in range(len(present)):
        for second in range(first + 1, len(present)):
            both = present[first] & present[second]
            rows.append(state[first, both])
            columns.append(state[second, both])
    weights = np.full(sum(map(len, rows)), float(coupling))
    weights[: len(edge)] = 1.0
    size = int(np.count_nonzero(present))
    half = coo_array((weights, (np.concatenate(rows), np.concatenate(columns))), (size, size))
    whole = (half + half.T).tocsr()
    whole.eliminate_zeros()
    return whole


def stationary_by_eigen(hyper: Any) -> Floats:
    """(S,) stationary distribution of the row-normalised `hyper`, by an eigen-solver.

    It uses no symmetry. The eigenvalue nearest 1 is asked for, so that the eigenvalue -1 of a
    bipartite (periodic) graph does no harm, as it would in a power iteration.

    Args:
        hyper: (S, S) sparse array, not negative, no row empty.

    Raises:
        DataError: the chain falls apart, so that no stationary distribution is *the* one.
    """
    from scipy.sparse import csc_array, diags_array
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import eigs

    parts, _ = connected_components(hyper, directed=True, connection="strong")
    if parts != 1:
        raise DataError(
            f"the chain falls apart into {parts} components",
            expected="one, so that its stationary distribution is unique",
            fix="give a positive coupling, or solve each component alone",
        )
    size = hyper.shape[0]
    backward = (diags_array(1.0 / hyper.sum(axis=1)) @ hyper).T
    if size <= DENSE_STATES:
        values, vectors = np.linalg.eig(backward.toarray())
        vector = vectors[:, np.argmin(np.abs(values - 1.0))]
    else:
        # The shift is off the eigenvalue itself, where the factorisation would be singular.
        _, vectors = eigs(csc_array(backward), k=1, sigma=1.0 + 1e-7, v0=np.ones(size), tol=0)
        vector = vectors[:, 0]
    real = np.real(vector / vector.sum())
    return np.asarray(real / real.sum(), dtype=np.float64)


def heaviest_route(graph: FeatureGraph, scores: Floats) -> tuple[int, ...]:
    """The route from input to output with the highest sum of scores, as node indices.

    TIPS calls the operations along this route the important ones.

    Args:
        scores: (N,) TAS.

    Raises:
        DataError: no route leads from the input to the output.
    """
    ahead = _best_from_input(graph, scores)
    if ahead[graph.output] == -math.inf:
        raise DataError("no route leads from the input to the output of the graph")
    best: dict[int, int] = {}
    for tail, head in zip(graph.tail.tolist(), graph.head.tolist(), strict=True):
        if head not in best or ahead[tail] > ahead[best[head]]:
            best[head] = tail
    route = [graph.output]
    while route[-1] != graph.input:
        route.append(best[route[-1]])
    return tuple(reversed(route))


def operation_importance(graph: FeatureGraph, scores: Floats) -> dict[str, float]:
    """For each operation: the highest TPS of a route through it, over the highest TPS of all.

    The important operations of TIPS, those on :func:`heaviest_route`, have 1; an operation on no
    route from input to output has 0. (The paper has the two classes only; the scale is ours.)

    Args:
        scores: (N,) TAS.
    """
    ahead = np.array(_best_from_input(graph, scores))
    behind = np.array(_best_to_output(graph, scores))
    through = ahead[graph.tail] + behind[graph.head]
    share = np.where(np.isfinite(through), through / ahead[graph.output], 0.0)
    importance: dict[str, float] = {}
    for operation, value in zip(graph.operations, share.tolist(), strict=True):
        importance[operation] = max(value, importance.get(operation, 0.0))
    return importance


def _best_from_input(graph: FeatureGraph, scores: Floats) -> list[float]:
    """For each node the highest sum of scores on a route from the input, both ends counted."""
    value = scores.tolist()
    best = [-math.inf] * len(value)
    best[graph.input] = value[graph.input]
    order = np.argsort(graph.tail, kind="stable")
    for tail, head in zip(graph.tail[order].tolist(), graph.head[order].tolist(), strict=True):
        best[head] = max(best[head], best[tail] + value[head])
    return best


def _best_to_output(graph: FeatureGraph, scores: Floats) -> list[float]:
    value = scores.tolist()
    best = [-math.inf] * len(value)
    best[graph.output] = value[graph.output]
    order = np.argsort(-graph.head, kind="stable")
    for tail, head in zip(graph.tail[order].tolist(), graph.head[order].tolist(), strict=True):
        best[tail] = max(best[tail], best[head] + value[tail])
    return best


def _check(coupling: float) -> None:
    if not (math.isfinite(coupling) and coupling >= 0):
        raise DataError("the coupling is not usable", expected="a number >= 0", got=coupling)
