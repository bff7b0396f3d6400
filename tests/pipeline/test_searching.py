"""The search on a small real supernet, profiled on this machine."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tipsc.elastic import CostModel, Supernet, additive_totals, family
from tipsc.errors import BudgetError
from tipsc.pipeline.goal import by_profile
from tipsc.pipeline.limits import additive_limits, check_engine, doubting
from tipsc.pipeline.profile import Bench, profile_paths
from tipsc.pipeline.search import load_records, looks, save_records, search_paths
from tipsc.profile import Profile
from tipsc.project.config import Build, BuildLimits
from tipsc.project.target import load_target
from tipsc.search.candidates import draw_spread
from tipsc.search.limits import within
from tipsc.tasks import Classification
from tipsc.train import Data, Split


def silent(done: float, total: float, note: str = "") -> None:
    """A progress that nobody sees."""


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    stages = [{"channels": 8, "depths": d, "expansions": [1, 2, 4]} for d in ([1, 2], [1, 2, 3])]
    return family(
        "mobilenet", classes=4, input_shape=[1, 8, 8], stem=8, stages=stages, head=8
    ).eval()


@pytest.fixture(scope="module")
def data() -> Data:
    images, labels = torch.randn(240, 1, 8, 8), torch.arange(240) % 4
    parts = [Split(images[i : i + 80], labels[i : i + 80]) for i in (0, 80, 160)]
    return Data(*parts, task=Classification(tuple("abcd")))


@pytest.fixture(scope="module")
def profile(supernet: Supernet, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    target = load_target("host")
    quick = target.measure.model_copy(
        update={"warm_up_ms": 0.0, "rounds": 4, "batch_ms": 0.5, "pin": "none"}
    )
    target = target.model_copy(update={"measure": quick})
    totals = additive_totals(supernet)
    bench = Bench("tiny", target, "1.0", supernet, totals, data.train.inputs[:8], seed=0)
    pool = draw_spread(supernet.space, totals["macs"], 40, random.Random(0))
    file = tmp_path_factory.mktemp("profile") / "engine.tipsc"
    return profile_paths(bench, pool, 20, file, silent)


def found(supernet: Supernet, data: Data, profile: Profile, **settings: Any):
    sizes = {"paths": 3, "evaluations": 10, "calibration_images": 64, **settings}
    build = Build(**sizes)
    goal = by_profile(supernet, profile, additive_totals(supernet), build)
    return search_paths(supernet, data, goal, build, 0, silent)


def test_paths_are_drawn_evenly_over_their_macs_with_the_extremes(supernet: Supernet) -> None:
    space, macs = supernet.space, additive_totals(supernet)["macs"]
    drawn = draw_spread(space, macs, 12, random.Random(0))
    assert len(set(drawn)) == 12 and {space.smallest, space.largest} <= set(drawn)
    assert drawn == draw_spread(space, macs, 12, random.Random(0))
    everything = draw_spread(space, macs, space.size, random.Random(0))
    assert set(everything) == set(space.enumerate())


def test_candidates_are_evaluated_in_full_and_have_a_latency(
    supernet: Supernet, data: Data, profile: Profile, tmp_path: Path
) -> None:
    candidates, records = found(supernet, data, profile)
    assert len(candidates) >= 3
    assert [c.path.id for c in candidates] == [r.id for r in records]
    measured = {path.id: path.latency.p50_ms for path in profile.paths}
    for candidate, record in zip(candidates, records, strict=True):
        assert candidate.statistics.mean and 0 <= candidate.quality.value <= 1
        assert record.measured == (record.id in measured)
        assert record.latency_ms == measured.get(record.id, record.latency_ms) > 0
    again, _ = found(supernet, data, profile)
    assert [c.path for c in again] == [c.path for c in candidates]
    save_records(tmp_path, records)
    assert list(load_records(tmp_path).values()) == records


@given(
    calibration=st.integers(1, 5000),
    validation=st.integers(1, 8000),
    evaluations=st.integers(8, 100),
    epochs=st.integers(1, 40),
    examples=st.integers(1, 60_000),
)
def test_looks_take_a_tenth_of_the_training_that_follows(
    calibration: int, validation: int, evaluations: int, epochs: int, examples: int
) -> None:
    kinds = [Split(torch.zeros(n, 0), torch.zeros(n, dtype=torch.int64)) for n in (
        examples, validation, 1)]  # fmt: skip
    data = Data(*kinds, task=Classification(tuple("ab")))
    build = Build(evaluations=evaluations, calibration_images=calibration)
    _, full = looks(build, data, epochs)
    spent = evaluations * (full.calibration + full.validation)
    least = evaluations * (min(calibration, 512) + min(validation, 512))
    assert spent <= 0.1 * 3 * epochs * examples + least
    assert full.calibration <= calibration and full.validation <= validation
    _, trained_before = looks(build, data)
    assert (trained_before.calibration, trained_before.validation) == (calibration, validation)


def test_limits_of_bytes_hold_for_every_candidate(
    supernet: Supernet, data: Data, profile: Profile
) -> None:
    costs, space = CostModel(supernet), supernet.space
    small, large = (4 * costs.of(path).parameters for path in (space.smallest, space.largest))
    most = (small + large) / 2
    candidates, _ = found(supernet, data, profile, limits={"file_bytes": most})
    assert candidates and all(4 * c.parameters <= most for c in candidates)


@pytest.mark.parametrize("safety", [1.0, 0.8])
def test_a_limit_of_latency_keeps_free_by_what_predictions_err(
    supernet: Supernet, safety: float
) -> None:
    totals, path = additive_totals(supernet), supernet.space.largest
    predicted = totals["macs"] * 1e-6
    most = predicted.of(path) / safety
    (limit,) = additive_limits(BuildLimits(latency_ms=most), totals, predicted, safety)
    assert (limit.name, limit.most) == ("latency_ms", most)
    assert within([limit], [path]) == [path]
    less = BuildLimits(latency_ms=0.99 * most)
    assert within(additive_limits(less, totals, predicted, safety), [path]) == []


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("fp16", 2), ("int8", 1)])
def test_limits_of_bytes_count_the_target_s_precision(
    supernet: Supernet, precision: str, size: int
) -> None:
    totals = additive_totals(supernet)
    path = supernet.space.largest
    parameters, values = (totals[name].of(path) for name in ("parameters", "activation_values"))
    limits = BuildLimits(file_bytes=parameters * size, memory_bytes=(parameters + values) * size)
    found = additive_limits(limits, totals, totals["macs"], 1.0, precision)
    assert within(found, [path]) == [path]
    for name in ("file_bytes", "memory_bytes"):
        less = limits.model_copy(update={name: getattr(limits, name) - 1})
        assert within(additive_limits(less, totals, totals["macs"], 1.0, precision), [path]) == []


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"memory_bytes": 100.0}, "memory_bytes at most 100.*comes nearest.*memory_bytes"),
        ({"latency_ms": 1e-6}, "latency_ms at most .*comes nearest.*latency_ms"),
        ({"quality": 1.0}, r"accuracy at least 100\.0%.*comes nearest.*accuracy"),
    ],
)
def test_what_no_path_keeps_is_refused_with_the_nearest_miss(
    supernet: Supernet, data: Data, profile: Profile, limits: dict[str, float], says: str
) -> None:
    with pytest.raises(BudgetError, match=says) as raised:
        found(supernet, data, profile, limits=limits)
    assert str(raised.value).count("no path keeps all limits") == 1


def test_a_budget_below_the_fastest_path_is_refused(
    supernet: Supernet, data: Data, profile: Profile
) -> None:
    with pytest.raises(BudgetError, match=r"budgets_ms: .*at least .* ms.*got 1e-06 ms\)"):
        found(supernet, data, profile, budgets_ms=(1e-6, 1e6))


def test_a_refusal_by_doubtful_latencies_says_so() -> None:
    noise = "other work took 43% of the core"
    for where, expected, told in (
        ("build.budgets_ms", "at least 1 ms", True),
        ("build.limits", "latency_ms at most 3", True),
        ("build.limits", "file_bytes at most 3", False),
    ):
        with pytest.raises(BudgetError) as raised, doubting(noise):
            raise BudgetError("no path fits", where=where, expected=expected, fix="raise it")
        assert (noise in str(raised.value)) is told
        assert "raise it" in str(raised.value)
    with pytest.raises(BudgetError, match=r"raise it$"), doubting(""):
        raise BudgetError("no path fits", where="build.budgets_ms", fix="raise it")


def test_a_finished_engine_is_held_against_its_limits(tmp_path: Path) -> None:
    file = tmp_path / "a.tipsc"
    file.write_bytes(bytes(1000))
    latencies = {"fast": 1.0, "slow": 3.0}
    check_engine(BuildLimits(file_bytes=1000, latency_ms=3.0), file, latencies)
    with pytest.raises(BudgetError, match=r"at most 999 bytes, got 1,000"):
        check_engine(BuildLimits(file_bytes=999), file, latencies)
    with pytest.raises(BudgetError, match="path slow is slower"):
        check_engine(BuildLimits(latency_ms=2.9), file, latencies)
    with pytest.raises(BudgetError, match="other work took 43% of the core"):
        noise = "other work took 43% of the core"
        check_engine(BuildLimits(latency_ms=2.9), file, latencies, noise)
