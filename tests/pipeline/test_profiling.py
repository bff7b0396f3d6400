"""Profiling a real supernet of which some paths are measured and others predicted."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tipsc.device.measuring import ThisMachine
from tipsc.elastic import CostModel, Supernet, additive_totals, family
from tipsc.errors import DataError
from tipsc.paths import Path as NetPath
from tipsc.pipeline.check import check_profile, draw_unmeasured
from tipsc.pipeline.profile import Bench, profile_paths
from tipsc.profile import Profile
from tipsc.profile.features import FEATURES, path_features
from tipsc.project.target import load_target

MEASURED = 12


def silent(done: float, total: float, note: str = "") -> None:
    """A progress that nobody sees."""


@pytest.fixture(scope="module")
def bench() -> Bench:
    torch.manual_seed(0)
    stage = {"channels": 8, "depths": [1, 2, 3], "expansions": [1, 2, 4]}
    supernet = family(
        "mobilenet", classes=4, input_shape=[1, 8, 8], stem=8, stages=[stage], head=8
    ).eval()
    target = load_target("host")
    quick = target.measure.model_copy(
        update={"warm_up_ms": 0.0, "rounds": 4, "batch_ms": 0.5, "pin": "none"}
    )
    return Bench(
        name="tiny",
        target=target.model_copy(update={"measure": quick}),
        version="1.0",
        supernet=supernet,
        totals=additive_totals(supernet),
        inputs=torch.randn(8, *supernet.inputs[0].shape[1:]),
        seed=0,
    )


@pytest.fixture(scope="module")
def paths(bench: Bench) -> list[NetPath]:
    found = list(bench.supernet.space.enumerate())
    random.Random(0).shuffle(found)
    return found[:30]


@pytest.fixture(scope="module")
def profile(
    bench: Bench, paths: list[NetPath], tmp_path_factory: pytest.TempPathFactory
) -> Profile:
    file = tmp_path_factory.mktemp("profile") / "engine.tipsc"
    return profile_paths(bench, paths[:24], MEASURED, file, silent)


def test_features_count_what_a_path_uses(bench: Bench) -> None:
    supernet: Supernet = bench.supernet
    space = supernet.space
    found = path_features(supernet, [space.smallest, space.largest])
    assert found.shape == (2, len(FEATURES))
    small, large = (dict(zip(FEATURES, row, strict=True)) for row in found)
    assert all(small[name] < large[name] for name in FEATURES)
    cost = CostModel(supernet).of(space.largest)
    assert large["dense_macs"] + large["depthwise_macs"] == cost.macs
    assert large["parameters"] == cost.parameters
    # Three blocks of 32 inner channels with a 3 x 3 filter on 4 x 4 pixels.
    assert large["depthwise_macs"] == 3 * 32 * 9 * 16
    assert (small["live_additions"], large["live_additions"]) == (1, 3)


def test_as_many_are_measured_as_were_asked_for_and_the_rest_is_predicted(
    profile: Profile, paths: list[NetPath], tmp_path: Path
) -> None:
    assert len(profile.paths) == MEASURED
    assert profile.forecast is not None and len(profile.forecast.paths) == 24 - MEASURED
    for path in paths[:24]:
        assert profile.expected_ms(path) > 0
    for predicted in profile.forecast.paths:
        assert predicted.low_ms <= predicted.p50_ms <= predicted.high_ms
    profile.save(tmp_path / "profile.json")
    assert Profile.load(tmp_path / "profile.json") == profile


def test_few_paths_are_all_measured(bench: Bench, paths: list[NetPath], tmp_path: Path) -> None:
    found = profile_paths(bench, paths[:4], MEASURED, tmp_path / "e.tipsc", silent)
    assert {path.id for path in found.paths} == {p.id for p in paths[:4]}
    assert found.forecast is None


def test_a_check_measures_paths_that_were_not_fitted(
    bench: Bench, profile: Profile, paths: list[NetPath], tmp_path: Path
) -> None:
    check = check_profile(bench, profile, paths[24:], tmp_path / "e.tipsc", silent)
    assert check.paths == 6
    assert 0 <= check.predicted.within_5_pct <= check.predicted.within_10_pct <= 1
    assert 0 <= check.covered <= 1


def test_a_check_draws_what_was_not_measured_until_nothing_is_left(profile: Profile) -> None:
    known = {path.id for path in profile.paths}
    size = profile.search_space.size
    drawn = draw_unmeasured(profile, 2, seed=0)
    assert len({path.id for path in drawn} - known) == 2
    assert drawn == draw_unmeasured(profile, 2, seed=0) != draw_unmeasured(profile, 2, seed=1)
    everything = draw_unmeasured(profile, 10**6, seed=0)
    every = {path.id for path in profile.search_space.enumerate()}
    assert {path.id for path in everything} | known == every
    assert len(everything) == size - len(known)
    full = profile.model_copy(update={"paths": tuple(SimpleNamespace(id=id_) for id_ in every)})
    with pytest.raises(DataError, match="every path of the space was measured"):
        draw_unmeasured(full, 1, seed=0)


def test_a_path_that_does_not_fit_is_measured_again(
    bench: Bench, paths: list[NetPath], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device whose latency is the path's MACs, but for one slow moment at the first visit."""
    costs = CostModel(bench.supernet)
    macs = {p.id: costs.of(p).macs / 1e5 for p in paths}
    slow = paths[5].id
    visits: list[set[str]] = []

    def device(_, file, target, example, seed, progress, only):
        from tipsc.profile import Protocol, Samples

        names = only or {p.id for p in paths[:24]}
        visits.append(set(names))
        generator = np.random.default_rng(seed)
        batches = {
            name: [
                [int(1e6 * macs[name] * (3 if len(visits) == 1 and name == slow else 1) * factor)]
                for factor in 1 + 0.002 * generator.random(4)
            ]
            for name in sorted(names)
        }
        return Protocol(), Samples(batches, (), 1.0)

    monkeypatch.setattr(ThisMachine, "measure", device)
    found = profile_paths(bench, paths[:24], 50, tmp_path / "e.tipsc", silent)
    assert len(visits) == 2 and slow in visits[1] and len(visits[1]) <= 5
    assert found.forecast is not None
    (again,) = (path for path in found.forecast.remeasured if path.id == slow)
    assert again.before_ms == pytest.approx(3 * macs[slow], rel=0.01)
    assert found.expected_ms(slow) == again.after_ms == pytest.approx(macs[slow], rel=0.01)
