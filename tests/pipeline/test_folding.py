"""What a profile predicts is what the chain carries."""

from __future__ import annotations

import random

import numpy as np
import pytest
from device_profiles import KINDS, dear_in, made_up_profile, small_supernet

from tipsc.dtmc import FoldedChain
from tipsc.elastic.factors import additive_totals
from tipsc.errors import ProfileError
from tipsc.paths import SearchSpace
from tipsc.pipeline.fold import check_space, cost_of_profile, predictor_of_profile
from tipsc.profile.features import path_features

SUPERNET = small_supernet()
TOTALS = additive_totals(SUPERNET)


@pytest.mark.parametrize("kind", [*KINDS, "macs"])
def test_the_cost_of_a_path_is_what_the_predictor_says(kind: str) -> None:
    truth = 0.05 + 2e-6 * TOTALS["macs"] if kind == "macs" else dear_in(SUPERNET, kind)
    profile = made_up_profile("board", SUPERNET, truth)
    cost = cost_of_profile(SUPERNET, profile, totals=TOTALS)
    generator = random.Random(7)
    paths = [SUPERNET.space.sample(generator) for _ in range(40)]
    # Features from traces, not from the totals that the cost was made of.
    prediction = predictor_of_profile(profile, TOTALS).predict(
        [path.values for path in paths], path_features(SUPERNET, paths)
    )
    np.testing.assert_allclose(cost.of_many(paths), prediction.mean, rtol=1e-9)


def test_the_chain_carries_the_same_cost() -> None:
    profile = made_up_profile("board", SUPERNET, dear_in(SUPERNET, "kernel"))
    cost = cost_of_profile(SUPERNET, profile, totals=TOTALS)
    chain = FoldedChain.of(cost)
    values = chain.graph.edge_values(cost)
    generator = random.Random(8)
    for _ in range(40):
        path = SUPERNET.space.sample(generator)
        assert values[chain.graph.walk(path)].sum() == pytest.approx(cost.of(path), rel=1e-12)


def test_a_linear_device_is_learnt() -> None:
    truth = 0.05 + 2e-6 * TOTALS["macs"]
    cost = cost_of_profile(SUPERNET, made_up_profile("board", SUPERNET, truth, noise=0.0))
    path = SUPERNET.space.sample(random.Random(9))
    assert cost.of(path) == pytest.approx(truth.of(path), rel=0.02)


def test_a_profile_of_another_space_is_refused_by_its_first_choice() -> None:
    profile = made_up_profile("board", SUPERNET, dear_in(SUPERNET, "width"))
    first, *others = SUPERNET.space.choices
    wider = SearchSpace((type(first)(first.name, (*first.options, 99)), *others))
    with pytest.raises(ProfileError, match=r"another search space.*stage0.depth of \[1, 2, 99\]"):
        check_space(profile, wider)
    with pytest.raises(ProfileError, match=r"expected 1 choices"):
        check_space(profile, SearchSpace((first,)))


def test_two_measured_paths_are_too_few() -> None:
    profile = made_up_profile("board", SUPERNET, TOTALS["macs"], paths=2)
    with pytest.raises(ProfileError, match="too few measured paths"):
        cost_of_profile(SUPERNET, profile, totals=TOTALS)
