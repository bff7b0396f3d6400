"""Scores of a real supernet under two devices, against what tracing and drawing say."""

from __future__ import annotations

import random

import numpy as np
import pytest
from device_profiles import dear_in, made_up_profile, small_supernet

from tipsc import dtmc
from tipsc.elastic import CostModel, family
from tipsc.elastic.factors import additive_totals
from tipsc.errors import BudgetError, DataError
from tipsc.factors import unary
from tipsc.pipeline.fold import cost_of_profile
from tipsc.scoring import Scores, presence_of, score
from tipsc.scoring.score import budget_at
from tipsc.scoring.story import beyond_degree, differences
from tipsc.scoring.top import top_paths

SUPERNET = small_supernet()
TOTALS = additive_totals(SUPERNET)
COSTS = {
    name: cost_of_profile(
        SUPERNET, made_up_profile(name, SUPERNET, dear_in(SUPERNET, kind)), totals=TOTALS
    )
    for name, kind in {"kernels": "kernel", "width": "width"}.items()
}


@pytest.fixture(scope="module")
def both() -> Scores:
    return score(SUPERNET, COSTS, macs=TOTALS["macs"], share=0.25, subnetworks=24)


@pytest.mark.parametrize("name", ["mobilenet", "temporal"])
def test_presence_is_what_tracing_says(name: str) -> None:
    supernet = SUPERNET
    if name == "temporal":
        supernet = family(name, classes=5, input_shape=(3, 32), channels=(8, 12))
    space, model, generator = supernet.space, CostModel(supernet), random.Random(1)
    paths = [space.smallest, space.largest, *(space.sample(generator) for _ in range(6))]
    names = dtmc.supergraph([model.trace(path).steps for path in paths]).graph.nodes
    presence = presence_of(supernet, names, paths)
    for _ in range(10):
        path = space.sample(generator)
        computed = set(dtmc.feature_maps(model.trace(path).steps))
        for feature_map, group in zip(presence.names, presence.group, strict=True):
            expected = float(feature_map in computed)
            assert presence.indicators[group].of(path) == pytest.approx(expected, abs=1e-9)


def test_folded_tas_is_the_share_of_all_paths_weighted_by_their_probability(both: Scores) -> None:
    """By enumeration, with indicators that the test above holds to the traces."""
    chain = dtmc.FoldedChain.of(COSTS["kernels"], budget=both.devices[0].budget)
    every = list(SUPERNET.space.enumerate())
    probability = np.array([chain.probability(path) for path in every])
    names = [entry.name for entry in both.feature_maps]
    presence = presence_of(SUPERNET, names, [SUPERNET.space.largest])
    visits = [probability @ indicator.of_many(every) for indicator in presence.indicators]
    expected = np.array([visits[group] for group in presence.group])
    found = [entry.folded["kernels"] for entry in both.feature_maps]
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)


def test_what_a_device_is_dear_in_is_the_first_difference(both: Scores) -> None:
    assert both.choices[0].kind in ("kernel", "width")
    assert next(iter(both.kinds)) in ("kernel", "width")
    by_name = {choice.name: choice.devices for choice in both.choices}
    kernel, width = by_name["stage0.block0.kernel"], by_name["stage0.block0.width"]
    assert kernel["kernels"].shares[3] > kernel["width"].shares[3]
    assert kernel["kernels"].favourite == 3
    smallest = min(width["width"].shares)
    assert width["width"].shares[smallest] > width["kernels"].shares[smallest]
    assert both.choices[0].name in differences(both)[0]


def test_a_device_does_not_differ_from_itself() -> None:
    same = score(
        SUPERNET, {"a": COSTS["width"], "b": COSTS["width"]}, macs=TOTALS["macs"], budgets=1,
        subnetworks=8,
    )  # fmt: skip
    assert max(choice.difference for choice in same.choices) == pytest.approx(0.0, abs=1e-9)
    assert same.moved == ()
    assert same.overlap(0.5) == (3, 3)
    assert "alike" in differences(same)[0]


def test_published_tas_is_degree_and_folded_tas_is_not(both: Scores) -> None:
    assert both.published.pearson == pytest.approx(1.0, abs=1e-12)
    assert both.published.spearman == pytest.approx(1.0, abs=1e-12)
    for device in both.devices:
        assert device.degree.pearson < 0.9999
    assert "by the theorem" in beyond_degree(both)


def test_shares_are_probabilities_and_budgets_are_met(both: Scores) -> None:
    for device in both.devices:
        low, high = device.cost_range
        assert device.budget == pytest.approx(low * (high / low) ** 0.25, rel=1e-5)
    for choice in both.choices:
        for shares in (choice.unpriced, *choice.devices.values()):
            assert sum(shares.shares.values()) == pytest.approx(1.0)
            assert 0.0 < shares.active <= 1.0 + 1e-9
            assert 0.0 <= choice.difference <= 1.0


def test_top_paths_fit_their_budget_and_tps_is_that_of_the_published_chain(both: Scores) -> None:
    assert [top.device for top in both.top] == ["kernels", "width"] * 3
    paths = [SUPERNET.space.smallest, SUPERNET.space.largest]
    generator = random.Random(0)
    paths += [SUPERNET.space.sample_options(generator) for _ in range(22)]
    model = CostModel(SUPERNET)
    union = dtmc.supergraph([model.trace(path).steps for path in paths])
    published = dtmc.tps(union, dtmc.tas(union))
    assert both.paths["smallest"].tps == pytest.approx(published[0])
    assert both.paths["largest"].tps == pytest.approx(published[1])
    for top in both.top:
        assert len(top.paths) == 3
        for path in top.paths:
            assert path.costs[top.device] <= top.budget * (1 + 1e-6)
            assert path.macs == model.of(path.path).macs
        values = [path.tps for path in top.paths]
        assert values == sorted(values, reverse=True)


def test_the_best_path_within_a_budget_is_near_the_best_of_all() -> None:
    """Against enumeration: never better, and on these sums hardly worse."""
    space, generator = SUPERNET.space, np.random.default_rng(4)
    utility = unary(
        space, {c.name: np.sort(generator.random(len(c.options))) for c in space.choices}
    )
    cost = COSTS["kernels"]
    graph = dtmc.graph_for(cost, utility)
    every = list(space.enumerate())
    costs, values = cost.of_many(every), utility.of_many(every)
    for share in (0.2, 0.5, 0.8):
        budget = budget_at((float(costs.min()), float(costs.max())), share)
        best = values[costs <= budget].max()
        found = top_paths(graph, cost, utility, budget, 3)
        assert len(set(found)) == 3
        assert all(cost.of(path) <= budget * (1 + 1e-6) for path in found)
        assert best * 0.97 <= utility.of(found[0]) <= best + 1e-9


def test_a_utility_ranks_and_draws() -> None:
    space = SUPERNET.space
    utility = unary(space, {"stage0.block0.kernel": [0.0, 0.0, 5.0]})
    scored = score(
        SUPERNET, {"width": COSTS["width"]}, macs=TOTALS["macs"], utility=utility, eta=1.0,
        budgets=1, subnetworks=8,
    )  # fmt: skip
    assert scored.eta == 1.0
    kernel = next(c for c in scored.choices if c.name == "stage0.block0.kernel")
    assert kernel is scored.choices[0] and kernel.devices["width"].favourite == 7
    assert scored.top[0].paths[0].utility == pytest.approx(5.0)
    assert scored.between is None and scored.overlap(0.5) is None


def test_what_is_asked_for_wrongly_is_refused() -> None:
    macs = TOTALS["macs"]
    with pytest.raises(DataError, match="one or two devices"):
        score(SUPERNET, {}, macs=macs)
    with pytest.raises(DataError, match="between 0 and 1"):
        score(SUPERNET, COSTS, macs=macs, share=2.0)
    with pytest.raises(BudgetError, match=r"kernels: .*range of the paths"):
        score(SUPERNET, COSTS, macs=macs, budget=1e9, subnetworks=4)


def test_a_range_that_starts_at_nothing_is_divided_evenly() -> None:
    assert budget_at((1.0, 4.0), 0.5) == pytest.approx(2.0)
    assert budget_at((0.0, 4.0), 0.5) == pytest.approx(2.0)
