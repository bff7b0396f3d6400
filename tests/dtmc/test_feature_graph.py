import random

import numpy as np
import pytest
from toy import BareStep, ToyStep, bare, toy_space, toy_steps

from tipsc.dtmc.graph import FeatureGraph, Supergraph, feature_graph, feature_maps, supergraph
from tipsc.errors import DataError


def edges(graph):
    return {
        (graph.nodes[t], graph.nodes[h], o)
        for t, h, o in zip(graph.tail, graph.head, graph.operations, strict=True)
    }


def test_a_step_makes_one_feature_map_and_an_edge_for_each_input():
    graph = feature_graph(
        [BareStep("conv", ("input",)), BareStep("act", ("conv",)), BareStep("add", ("act", "conv"))]
    )
    assert edges(graph) == {
        ("input", "conv", "conv"),
        ("conv", "act", "act"),
        ("act", "add", "add"),
        ("conv", "add", "add"),
    }
    assert graph.nodes[graph.input] == "input"
    assert graph.nodes[graph.output] == "add"


def test_width_groups_are_nodes_and_channelwise_steps_keep_them_apart():
    graph = feature_graph(
        [
            ToyStep("wide", ("input",), 2),
            ToyStep("depthwise", ("wide",), 2, channelwise=True),
            ToyStep("conv", ("depthwise",), 2),
            ToyStep("out", ("conv",)),
        ]
    )
    assert edges(graph) == {
        ("input", "wide", "wide"),
        ("input", "wide[1]", "wide"),
        ("wide", "depthwise", "depthwise"),
        ("wide[1]", "depthwise[1]", "depthwise"),
        ("depthwise", "conv", "conv"),
        ("depthwise[1]", "conv", "conv"),
        ("depthwise", "conv[1]", "conv"),
        ("depthwise[1]", "conv[1]", "conv"),
        ("conv", "out", "out"),
        ("conv[1]", "out", "out"),
    }


def test_a_parameter_is_a_feature_map_that_nothing_writes():
    graph = feature_graph([BareStep("position", ()), BareStep("add", ("input", "position"))])
    assert edges(graph) == {("input", "add", "add"), ("position", "add", "add")}


def test_each_path_runs_its_own_edges_of_the_union():
    space, generator = toy_space(), random.Random(0)
    paths = [space.sample_options(generator) for _ in range(20)]
    union = supergraph([toy_steps(path) for path in paths])
    assert np.all(union.graph.tail < union.graph.head)
    for path, active, present in zip(paths, union.active, union.present, strict=True):
        alone = feature_graph(toy_steps(path))
        ran = {
            (union.graph.nodes[union.graph.tail[e]], union.graph.nodes[union.graph.head[e]])
            for e in np.flatnonzero(active)
        }
        assert ran == {(tail, head) for tail, head, _ in edges(alone)}
        held = {union.graph.nodes[v] for v in np.flatnonzero(present)}
        assert held == set(alone.nodes) == set(feature_maps(toy_steps(path)))


def test_without_groups_paths_of_one_depth_are_one_subnetwork():
    space = toy_space()
    deep = {"s0.depth": 3, "s1.depth": 3}
    narrow = toy_steps(space.path(deep))
    wide = toy_steps(space.largest)
    assert not np.array_equal(*supergraph([narrow, wide]).active)
    assert np.array_equal(*supergraph([bare(narrow), bare(wide)]).active)


def test_early_exits_meet_in_one_output():
    stem, block = BareStep("stem", ("input",)), BareStep("block", ("stem",))
    early = [stem, BareStep("exit", ("stem",))]
    late = [stem, block, BareStep("head", ("block",))]
    graph = supergraph([early, late]).graph
    assert graph.nodes[graph.output] == "output"
    assert {("exit", "output", "output"), ("head", "output", "output")} <= edges(graph)
    assert "output" not in supergraph([late, late]).graph.nodes


@pytest.mark.parametrize(
    ("traces", "message"),
    [
        ([], "no step"),
        ([[BareStep("a", ("input",))], []], "no step"),
        ([[BareStep("a", ("b",)), BareStep("b", ("input",))]], "reads 'b'"),
        ([[BareStep("a", ("input",)), BareStep("a", ("input",))]], "'a' is not usable"),
        ([[BareStep("input", ("input",))]], "'input' is not usable"),
        ([[BareStep("a", ())]], "no step reads"),
        ([[BareStep("a", ("input",)), BareStep("b", ())]], "none writes"),
        ([[ToyStep("a", ("input",), 0)]], "'a' is not usable"),
        (
            [
                [BareStep("a", ("input",)), BareStep("b", ("a",))],
                [BareStep("b", ("input",)), BareStep("a", ("b",))],
            ],
            "in a circle",
        ),
    ],
)
def test_traces_that_are_no_paths_are_refused(traces, message):
    with pytest.raises(DataError, match=message):
        supergraph(traces)


@pytest.mark.parametrize(
    ("tail", "head", "nodes", "message"),
    [
        ([0, 1], [1, 1], "abc", "does not lead forward"),
        ([0, 1], [1, 3], "abc", "outside the graph"),
        ([0], [1], "abc", "do not fit"),
        ([0, 1], [1, 2], "aba", "one name"),
    ],
)
def test_a_graph_checks_its_arrays(tail, head, nodes, message):
    with pytest.raises(DataError, match=message):
        FeatureGraph(tuple(nodes), np.array(tail), np.array(head), ("x", "y"), 0, 2)


def test_graphs_do_not_change():
    tail = np.array([0, 1])
    graph = FeatureGraph(("a", "b", "c"), tail, np.array([1, 2]), ("x", "y"), 0, 2)
    tail[0] = 7
    assert graph.tail[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        graph.tail[0] = 1
    with pytest.raises(DataError, match="not subnetworks"):
        Supergraph(graph, np.ones((3, 5), dtype=bool))
    with pytest.raises(DataError, match="not subnetworks"):
        Supergraph(graph, np.zeros((3, 2), dtype=bool))
