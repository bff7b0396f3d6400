import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import ToyStep, toy_space, toy_steps

from tipsc.dtmc.graph import FeatureGraph, Supergraph, supergraph
from tipsc.dtmc.hyper import (
    DENSE_STATES,
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
from tipsc.dtmc.synthetic import random_supergraph
from tipsc.errors import DataError

COUPLINGS = (0.01, 0.1, 1.0, 10.0)

small_supergraphs = st.builds(
    lambda seed, nodes, subnetworks: random_supergraph(
        np.random.default_rng(seed), nodes=nodes, subnetworks=subnetworks
    ),
    st.integers(0, 2**32 - 1),
    st.integers(2, 12),
    st.integers(1, 8),
)
couplings = st.floats(0.0, 100.0)


@pytest.mark.parametrize("seed", range(200))
def test_closed_form_equals_the_eigen_solve(seed):
    # 1e-10 is what the project promises; the solvers themselves reach about 1e-13.
    generator = np.random.default_rng(seed)
    union = random_supergraph(
        generator, nodes=int(generator.integers(2, 14)), subnetworks=1 + seed % 32
    )
    for coupling in COUPLINGS:
        pi = stationary_by_eigen(hyper_adjacency(union, coupling))
        closed = stationary(union, coupling)
        np.testing.assert_allclose(closed[union.present], pi, rtol=0, atol=1e-10)
        by_hand = np.zeros(len(union.graph.nodes))
        np.add.at(by_hand, np.nonzero(union.present)[1], pi)
        np.testing.assert_allclose(tas(union, coupling), by_hand, rtol=0, atol=1e-10)


def test_both_eigen_solvers_are_exercised_and_meet_a_periodic_chain():
    for length in (4, DENSE_STATES + 50):  # a line of nodes is bipartite: eigenvalue -1
        line = Supergraph(
            FeatureGraph(
                tuple(map(str, range(length))),
                np.arange(length - 1),
                np.arange(1, length),
                tuple(map(str, range(length - 1))),
                0,
                length - 1,
            ),
            np.ones((1, length - 1), dtype=bool),
        )
        pi = stationary_by_eigen(hyper_adjacency(line))
        expected = np.full(length, 1 / (length - 1))
        expected[[0, -1]] /= 2
        np.testing.assert_allclose(pi, expected, rtol=0, atol=1e-10)


def test_eigen_solve_uses_no_symmetry():
    # A biased ring: uniform by hand although the row sums of the matrix differ from row to row.
    from scipy.sparse import csr_array

    ring = csr_array(np.array([[0.0, 2.0, 1.0], [10.0, 0.0, 20.0], [0.2, 0.1, 0.0]]))
    np.testing.assert_allclose(stationary_by_eigen(ring), [1 / 3] * 3, rtol=0, atol=1e-12)


def test_hyper_adjacency_couples_copies_that_are_in_both_subnetworks():
    graph = FeatureGraph(
        ("a", "b", "c"), np.array([0, 1, 0]), np.array([1, 2, 2]), ("x", "y", "z"), 0, 2
    )
    union = Supergraph(graph, np.array([[True, True, False], [False, False, True]]))
    expected = np.array(
        [  # a1 b1 c1 a2 c2
            [0, 1, 0, 0.5, 0],
            [1, 0, 1, 0, 0],
            [0, 1, 0, 0, 0.5],
            [0.5, 0, 0, 0, 1],
            [0, 0, 0.5, 1, 0],
        ]
    )
    np.testing.assert_array_equal(hyper_adjacency(union, 0.5).toarray(), expected)
    # By hand: row sums 1.5 and 1.5 for a, 2 for b, 1.5 and 1.5 for c.
    np.testing.assert_allclose(tas(union, 0.5), np.array([3, 2, 3]) / 8, rtol=1e-15)
    np.testing.assert_allclose(accumulated_degree(union, 0.5), [3, 2, 3], rtol=1e-15)
    np.testing.assert_allclose(tps(union, tas(union, 0.5)), [1, 0.75], rtol=1e-15)


@settings(max_examples=60, deadline=None)
@given(small_supergraphs, couplings)
def test_scores_are_a_distribution_and_proportional_to_degree(union, coupling):
    scores = tas(union, coupling)
    assert scores.sum() == pytest.approx(1, abs=1e-12)
    assert np.all(scores[union.present.any(axis=0)] > 0)
    pi = stationary(union, coupling)
    assert np.all(pi[~union.present] == 0)
    np.testing.assert_allclose(pi.sum(axis=0), scores, rtol=1e-12)
    row_sums = np.zeros_like(scores)
    hyper = hyper_adjacency(union, coupling)
    np.add.at(row_sums, np.nonzero(union.present)[1], np.asarray(hyper.sum(axis=1)))
    np.testing.assert_allclose(scores * row_sums.sum(), row_sums, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(small_supergraphs, couplings, st.randoms(use_true_random=False))
def test_scores_do_not_depend_on_the_order_of_copies_and_edges(union, coupling, shuffler):
    copies, edges = list(range(len(union.active))), list(range(union.active.shape[1]))
    shuffler.shuffle(copies)
    shuffler.shuffle(edges)
    graph = union.graph
    shuffled = FeatureGraph(
        graph.nodes,
        graph.tail[edges],
        graph.head[edges],
        tuple(graph.operations[edge] for edge in edges),
        graph.input,
        graph.output,
    )
    again = Supergraph(shuffled, union.active[copies][:, edges])
    np.testing.assert_allclose(tas(again, coupling), tas(union, coupling), rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_scores_do_not_depend_on_names(seed):
    generator, space = random.Random(seed), toy_space()
    traces = [toy_steps(space.sample_options(generator)) for _ in range(6)]
    labels = sorted({step.label for trace in traces for step in trace})
    fresh = [f"x{number}" for number in range(len(labels))]
    generator.shuffle(fresh)
    rename = {"input": "input", **dict(zip(labels, fresh, strict=True))}
    renamed = [
        [
            ToyStep(
                rename[s.label], tuple(rename[i] for i in s.inputs), s.channel_groups, s.channelwise
            )
            for s in trace
        ]
        for trace in traces
    ]
    before, after = supergraph(traces), supergraph(renamed)
    old = {
        rename[name.split("[")[0]] + name[len(name.split("[")[0]) :]: score
        for name, score in zip(before.graph.nodes, tas(before), strict=True)
    }
    new = dict(zip(after.graph.nodes, tas(after), strict=True))
    assert new == pytest.approx(old, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_components_are_weighed_by_their_row_sums_when_the_chain_falls_apart(seed):
    generator = np.random.default_rng(seed)
    union = random_supergraph(generator, nodes=8, subnetworks=3)
    assert is_connected(union, 0.1)
    assert not is_connected(union, 0.0)
    apart = hyper_adjacency(union, 0.0)
    with pytest.raises(DataError, match="falls apart"):
        stationary_by_eigen(apart)

    from scipy.sparse.csgraph import connected_components

    parts, of = connected_components(apart, directed=False)
    mixture = np.zeros(apart.shape[0])
    for part in range(parts):
        inside = np.flatnonzero(of == part)
        block = apart[inside][:, inside]
        mixture[inside] = stationary_by_eigen(block) * block.sum() / apart.sum()
    np.testing.assert_allclose(stationary(union, 0.0)[union.present], mixture, atol=1e-10)
    # It is also where a small coupling leads: its difference shrinks with the coupling.
    near = np.abs(stationary(union, 1e-9) - stationary(union, 0.0)).max()
    assert near < 1e-8


@settings(max_examples=60, deadline=None)
@given(small_supergraphs, couplings, st.data())
def test_is_connected_agrees_with_the_matrix(union, coupling, data):
    from scipy.sparse.csgraph import connected_components

    kept = data.draw(st.integers(0, 2**32 - 1).map(np.random.default_rng))
    active = union.active & (kept.random(union.active.shape) < 0.6)
    active[0, 0] = True
    thinned = Supergraph(union.graph, active)
    parts, _ = connected_components(hyper_adjacency(thinned, coupling), directed=False)
    assert is_connected(thinned, coupling) == (parts == 1)


@pytest.mark.parametrize("coupling", [-0.1, float("nan"), float("inf")])
def test_a_coupling_that_is_no_weight_is_refused(coupling):
    union = supergraph([toy_steps(toy_space().smallest)])
    for function in (tas, stationary, hyper_adjacency):
        with pytest.raises(DataError, match="coupling"):
            function(union, coupling)


def all_routes(graph):
    out = {}
    for tail, head in zip(graph.tail.tolist(), graph.head.tolist(), strict=True):
        out.setdefault(tail, set()).add(head)
    routes = [[graph.input]]
    while routes:
        route = routes.pop()
        if route[-1] == graph.output:
            yield tuple(route)
        routes.extend([*route, head] for head in out.get(route[-1], ()))


@settings(max_examples=60, deadline=None)
@given(small_supergraphs, st.integers(0, 2**32 - 1))
def test_routes_and_importance_equal_brute_force(union, seed):
    graph = union.graph
    scores = np.random.default_rng(seed).random(len(graph.nodes)) + 0.01
    weight = {route: scores[list(route)].sum() for route in all_routes(graph)}
    best = max(weight.values())
    assert weight[heaviest_route(graph, scores)] == pytest.approx(best, rel=1e-12)
    importance = operation_importance(graph, scores)
    for tail, head, operation in zip(
        graph.tail.tolist(), graph.head.tolist(), graph.operations, strict=True
    ):
        through = [w for r, w in weight.items() if (tail, head) in itertools.pairwise(r)]
        assert importance[operation] == pytest.approx(max(through, default=0) / best, rel=1e-12)


def test_importance_of_a_step_is_that_of_its_heaviest_edge():
    union = supergraph([toy_steps(toy_space().largest)])
    importance = operation_importance(union.graph, tas(union))
    assert set(importance) == set(union.graph.operations)
    # The heaviest route of a residual block goes through its convolutions, never round them.
    assert importance["s0.b1.add"] == importance["s0.b1.project"] == pytest.approx(1.0)


def test_a_graph_without_a_route_has_no_heaviest_one():
    graph = FeatureGraph(("a", "b", "c"), np.array([0]), np.array([1]), ("x",), 0, 2)
    with pytest.raises(DataError, match="no route"):
        heaviest_route(graph, np.ones(3))
