"""The search on made-up accuracies: additive, with interactions and noise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipsc.errors import BudgetError, DataError
from tipsc.factors import Additive, Factor, unary
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.search import Found, Limit, Rung, rungs, search, spaced_budgets
from tipsc.search.best import Listed
from tipsc.search.halving import looked

RUNGS = rungs(2000, 2000)


def stages(count: int) -> SearchSpace:
    """Stages with elastic depth and gated widths: 27 options a stage."""
    choices = []
    for stage in range(count):
        choices.append(Choice(f"d{stage}", (1, 2)))
        choices.append(Choice(f"d{stage}.w1", (1, 2, 3)))
        choices.append(Choice(f"d{stage}.w2", (1, 2, 3), gate=f"d{stage}", gate_from=2))
    return SearchSpace(tuple(choices))


SMALL, LARGE = stages(3), stages(6)


class Device:
    """Made-up truth of a space: a cost, and a merit that is seen through noise."""

    def __init__(self, space: SearchSpace, seed: int, noise: float = 0.0, pairs: float = 0.0):
        generator = np.random.default_rng(seed)

        def rising(scale: float) -> Additive:
            steps = {
                c.name: scale * generator.uniform(0.1, 1, len(c.options)).cumsum()
                for c in space.choices
            }
            return unary(space, steps)

        self.space, self.noise, self.seed = space, noise, seed
        self.cost, self.memory = rising(1.0) + 0.5, rising(1.0) + 0.5
        names = [c.name for c in space.choices]
        self.merit = rising(0.01) + 0.5
        for one, other in zip(names, names[3:], strict=False):
            shape = tuple(len(space[n].options) for n in (one, other))
            table = pairs * generator.normal(0, 1, shape)
            self.merit = self.merit + Additive(space, 0.0, (Factor((one, other), table),))
        self.calls: list[tuple[list[Path], Rung]] = []

    @property
    def budgets(self) -> tuple[float, ...]:
        costs = [self.cost.of(p) for p in (self.space.smallest, self.space.largest)]
        return spaced_budgets(*costs, 5)

    def evaluate(self, paths: Sequence[Path], rung: Rung) -> list[float]:
        self.calls.append((list(paths), rung))
        return [self._seen(path, rung) for path in paths]

    def _seen(self, path: Path, rung: Rung) -> float:
        chance = np.random.default_rng([self.seed, int(path.id, 16), rung.validation])
        sd = self.noise / math.sqrt(rung.validation)
        return self.merit.of(path) + float(chance.normal(0, sd))

    def search(self, evaluations: float = 60, seed: int = 0, **options: object) -> Found:
        return search(
            self.cost,
            self.budgets,
            self.evaluate,
            RUNGS,
            evaluations=evaluations,
            seed=seed,
            **options,  # type: ignore[arg-type]
        )

    def regret(self, found: Found) -> float:
        """Mean merit lost against the best path of each budget, which brute force knows."""
        lost = []
        for budget in self.budgets:
            limit = Limit("cost", self.cost, budget)
            best = Listed(self.space).best(self.merit, (limit,), 1)[0]
            fitting = [f for f in found.finalists if f.cost <= budget * (1 + 1e-9)]
            chosen = max(fitting, key=lambda f: f.expected)
            lost.append(self.merit.of(best) - self.merit.of(chosen.path))
        return float(np.mean(lost))


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000))
def test_without_noise_it_finds_the_optimum_of_an_additive_merit(seed: int) -> None:
    device = Device(SMALL, seed)
    assert device.regret(device.search()) <= 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_with_noise_it_loses_less_than_random_search_with_four_times_the_evaluations(
    seed: int,
) -> None:
    device = Device(SMALL, seed, noise=0.3, pairs=0.001)
    lost = device.regret(device.search(evaluations=60, seed=seed))
    generator, random_lost = np.random.default_rng(seed), []
    paths = list(SMALL.enumerate())
    for budget in device.budgets:
        fitting = [p for p in paths if 0.8 * budget <= device.cost.of(p) <= budget]
        drawn = [fitting[i] for i in generator.permutation(len(fitting))[:48]]
        seen = dict(zip(drawn, device.evaluate(drawn, RUNGS[1]), strict=True))
        best = Listed(SMALL).best(device.merit, (Limit("cost", device.cost, budget),), 1)[0]
        taken = max(drawn, key=lambda path: seen[path])
        random_lost.append(device.merit.of(best) - device.merit.of(taken))
    assert lost < np.mean(random_lost)


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000), st.floats(0.0, 0.9), st.sampled_from([SMALL, LARGE]))
def test_no_path_is_ever_looked_at_that_exceeds_a_limit(
    seed: int, share: float, space: SearchSpace
) -> None:
    device = Device(space, seed, noise=0.3)
    low, high = (device.memory.of(p) for p in (space.smallest, space.largest))
    limit = Limit("memory", device.memory, low + share * (high - low))
    found = device.search(evaluations=30, limits=(limit,))
    seen = [path for paths, _ in device.calls for path in paths]
    assert found.finalists
    assert all(device.memory.of(path) <= limit.most * (1 + 1e-9) for path in seen)
    assert all(f.cost <= max(device.budgets) * (1 + 1e-9) for f in found.finalists)


def test_it_spends_what_it_may_and_looks_at_each_path_once_a_rung() -> None:
    device = Device(LARGE, 0, noise=0.3)
    found = device.search(evaluations=60)
    assert 0.8 * 60 <= found.images / RUNGS[1].images <= 1.05 * 60
    for rung in RUNGS:
        looked = [path for paths, used in device.calls if used == rung for path in paths]
        assert len(set(looked)) == len(looked)
    finalists = {path for paths, used in device.calls if used == RUNGS[1] for path in paths}
    assert finalists == {f.path for f in found.finalists}


def test_equal_seeds_search_alike_and_others_do_not() -> None:
    runs = []
    for seed in (0, 0, 1):
        device = Device(LARGE, 5, noise=0.3)
        device.search(evaluations=20, seed=seed)
        runs.append(device.calls)
    assert runs[0] == runs[1] != runs[2]


def test_a_space_that_can_be_evaluated_as_a_whole_is() -> None:
    device = Device(stages(1), 0)
    found = device.search(evaluations=60)
    assert {f.path for f in found.finalists} == set(device.space.enumerate())


def test_every_budget_has_a_finalist_even_with_few_evaluations() -> None:
    device = Device(LARGE, 1, noise=0.3)
    found = device.search(evaluations=2)
    for budget in device.budgets:
        assert any(f.cost <= budget * (1 + 1e-9) for f in found.finalists)


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([SMALL, LARGE]))
def test_with_bands_each_budget_has_finalists_of_about_its_cost(
    seed: int, space: SearchSpace
) -> None:
    """Though cheaper paths score better, as they do where the whole space was trained briefly."""
    device = Device(space, seed)
    device.merit = -1.0 * device.merit
    costs = [f.cost for f in device.search(seed=seed, bands=True).finalists]
    budgets = device.budgets
    looked_at = {device.cost.of(path) for paths, _ in device.calls for path in paths}
    for below, budget in zip((0.0, *budgets), budgets, strict=False):
        if any(below < cost <= budget for cost in looked_at):
            assert any(below < cost <= budget * 1.000001 for cost in costs)


def test_a_prior_that_knows_the_truth_helps_where_little_is_evaluated() -> None:
    lost = {True: 0.0, False: 0.0}
    for seed in range(3):
        for informed in lost:
            device = Device(SMALL, seed, noise=0.6)
            prior = device.merit * -40.0 + 3.0 if informed else None  # any unit, any sign
            lost[informed] += device.regret(device.search(evaluations=12, seed=seed, prior=prior))
    assert lost[True] < 0.7 * lost[False]


def test_impossible_limits_and_no_budgets_are_refused() -> None:
    device = Device(SMALL, 0)
    tight = Limit("memory_bytes", device.memory, 0.1)
    with pytest.raises(BudgetError, match=r"memory_bytes at most 0\.1.*comes nearest"):
        device.search(limits=(tight,))
    with pytest.raises(DataError, match="at least one budget"):
        search(device.cost, (), device.evaluate, RUNGS, evaluations=10)


def test_the_ends_of_the_range_are_always_looked_at() -> None:
    """An application with the tightest budget needs the cheapest path, however inaccurate."""
    space = SearchSpace(tuple(Choice(f"c{i}", (1, 2, 3)) for i in range(6)))
    cost = unary(space, {f"c{i}": [1.0, 2.0, 4.0] for i in range(6)})
    generator = random.Random(0)

    def evaluate(paths: Sequence[Path], rung: Rung) -> list[float]:
        return [generator.random() for _ in paths]

    low, high = cost.of(space.smallest), cost.of(space.largest)
    free = search(cost, spaced_budgets(low, high, 4), evaluate, rungs(100, 100), evaluations=20)
    assert {space.smallest, space.largest} <= {f.path for f in free.finalists}
    narrow = search(cost, (low, 10.0), evaluate, rungs(100, 100), evaluations=20)
    assert space.smallest in {f.path for f in narrow.finalists}
    assert all(f.cost <= 10.0 + 1e-9 for f in narrow.finalists)


@pytest.mark.parametrize("evaluations", [20, 60, 200])
def test_how_much_a_search_looks_at_is_known_before(evaluations: int) -> None:
    device = Device(LARGE, 0)
    device.search(evaluations)
    counted = [sum(len(paths) for paths, rung in device.calls if rung == one) for one in RUNGS]
    expected = looked(evaluations, len(device.budgets), LARGE.size, *RUNGS)
    assert expected == pytest.approx(counted, rel=0.2)
    assert looked(evaluations, 5, evaluations, *RUNGS) == (0, evaluations)  # each path, in full
