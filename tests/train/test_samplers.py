"""Each sampler draws what it says, from the generator alone, and an adaptive one resumes."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from digits import make as make_supernet
from scipy.stats import chisquare, kstest
from spaces import blocks, cost, loss

from tipsc.dtmc.mixture import FoldedMixture
from tipsc.dtmc.tips import Tips
from tipsc.elastic import CostModel
from tipsc.elastic import family as make_family
from tipsc.errors import ConfigError
from tipsc.paths import Path, SearchSpace
from tipsc.train import SAMPLERS, Adaptive, sampler
from tipsc.train.macs import mac_counter
from tipsc.train.samplers import adaptive
from tipsc.train.samplers.attentive import Attentive
from tipsc.train.samplers.budget_uniform import BudgetUniform
from tipsc.train.samplers.gaussian_process import fit
from tipsc.train.samplers.joslim import Joslim


class Probe:
    """A known loss, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[Path] = []

    def __call__(self, path: Path) -> float:
        self.asked.append(path)
        return loss(path)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_named_sampler_draws_from_the_generator_alone(name: str) -> None:
    supernet = make_supernet()

    def drawn() -> list[Path]:
        one = adaptive(sampler(name, supernet, 3))
        assert isinstance(one, Adaptive)
        return [
            path
            for step in range(4)
            for path in one.draw_with(random.Random(step), 1 + step % 4, lambda p: 1.0)
        ]

    first = drawn()
    assert len(first) == 10
    assert all(path in supernet.space for path in first)
    assert drawn() == first


def test_unknown_samplers_and_options_are_refused() -> None:
    supernet = make_supernet()
    with pytest.raises(ConfigError, match=r"not known.*uniform"):
        sampler("unifrom", supernet)
    with pytest.raises(ConfigError, match=r"no option 'picks'.*pick"):
        sampler("attentive", supernet, 0, {"picks": "best"})
    with pytest.raises(ConfigError, match=r"sampler_options\.pick: .*best.*worst"):
        sampler("attentive", supernet, 0, {"pick": "middle"})
    with pytest.raises(ConfigError, match=r"sampler_options\.spacing: .*linear"):
        sampler("budget-uniform", supernet, 0, {"spacing": "cubic"})
    with pytest.raises(ConfigError, match="interval"):
        sampler("joslim", supernet, 0, {"interval": 0})


@pytest.mark.parametrize("family", ["mobilenet", "transformer"])
def test_macs_are_counted_exactly(family: str) -> None:
    supernet = (
        make_supernet()
        if family == "mobilenet"
        else make_family(family, classes=10, input_shape=(1, 8, 8), patch=4, width=24)
    )
    count, model, generator = mac_counter(supernet), CostModel(supernet), random.Random(1)
    for _ in range(10):
        path = supernet.space.sample_options(generator)
        assert count(path) == model.of(path).macs


def test_no_path_is_traced_to_count_its_macs_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the count is no sum over single options: that took longer than the training."""
    supernet = make_family("temporal", classes=7, input_shape=(6, 128), channels=[16, 24])
    space, generator = supernet.space, random.Random(2)
    paths = [space.sample_options(generator) for _ in range(10)]
    true = [CostModel(supernet).of(path).macs for path in paths]
    count = mac_counter(supernet)
    monkeypatch.setattr(CostModel, "of", None)
    monkeypatch.setattr(CostModel, "by_step", None)
    assert [count(path) for path in paths] == true


@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_budget_uniform_spreads_costs_evenly(spacing: str) -> None:
    """Over the range, to within the tolerance and the grain of the costs."""
    space = blocks(10)
    drawn = BudgetUniform(space, cost, spacing).draw(random.Random(0), 1500)  # type: ignore[arg-type]
    scale = math.log if spacing == "log" else float
    low, high = scale(cost(space.smallest)), scale(cost(space.largest))
    shares = [(scale(cost(path)) - low) / (high - low) for path in drawn]
    assert kstest(shares, "uniform").statistic < 0.05  # 0.035 is the 5 % point of exact draws
    uniform = [(scale(cost(space.sample_options(random.Random(i)))) - low) / (high - low)
               for i in range(300)]  # fmt: skip
    assert kstest(uniform, "uniform").statistic > 0.2  # which uniform paths are far from


@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_budget_uniform_can_spread_compute_evenly(spacing: str) -> None:
    """Both halves of the range (as it is spaced) get as much cost."""
    space = blocks(10)
    sampler = BudgetUniform(space, cost, spacing, thrift=1.0)  # type: ignore[arg-type]
    drawn = [cost(path) for path in sampler.draw(random.Random(0), 3000)]
    low, high = cost(space.smallest), cost(space.largest)
    middle = math.sqrt(low * high) if spacing == "log" else (low + high) / 2
    below = math.fsum(c for c in drawn if c < middle)
    assert below / math.fsum(drawn) == pytest.approx(0.5, abs=0.05)


def test_budget_uniform_reaches_both_ends() -> None:
    space = blocks(10)
    one = BudgetUniform(space, cost)
    assert one.near(random.Random(0), cost(space.smallest)) == space.smallest
    assert one.near(random.Random(0), cost(space.largest)) == space.largest
    assert len(set(one.draw(random.Random(0), 200))) > 150


@pytest.mark.parametrize(("pick", "choose"), [("best", min), ("worst", max)])
def test_attentive_takes_the_extreme_of_paths_of_like_cost(pick: str, choose: object) -> None:
    space = blocks(8)
    near = BudgetUniform(space, cost)
    one, generator = Attentive(near, pick, 3), random.Random(0)  # type: ignore[arg-type]
    gaps = []
    for _ in range(200):
        probe = Probe()
        (path,) = one.draw_with(generator, 1, probe)
        assert len(probe.asked) <= 3
        if probe.asked:
            assert path == choose(probe.asked, key=loss)  # type: ignore[operator]
            gaps.append(np.ptp([cost(p) for p in probe.asked]))
    low, high = near.range
    assert np.quantile(gaps, 0.9) < 0.08 * (high - low)
    assert len(gaps) > 150


def test_attentive_costs_follow_those_of_uniform_paths() -> None:
    space = blocks(8)
    one = Attentive(BudgetUniform(space, cost), candidates=1)
    drawn = [cost(p) for p in one.draw_with(random.Random(0), 1500, Probe())]
    uniform = [cost(space.sample_options(random.Random(i))) for i in range(1500)]
    from scipy.stats import ks_2samp

    assert ks_2samp(drawn, uniform).statistic < 0.06


def test_folded_draws_more_of_what_lowers_the_loss_at_equal_cost() -> None:
    """All widths of the supernet cost something; one depth is made to help beyond its cost."""
    supernet = make_supernet()
    macs = mac_counter(supernet)
    plain = adaptive(sampler("folded", supernet))
    learning = adaptive(sampler("folded", supernet, 0, {"eta": 2.0, "tas": False, "every": 10}))
    generator = random.Random(0)
    name = "stage1.depth"

    def drawn(one: Adaptive) -> list[Path]:
        return one.draw_with(random.Random(1), 1500, loss)

    before = [path[name] for path in drawn(learning)]
    for step in range(200):
        paths = learning.draw_with(generator, 1, loss)
        learning.observe(step, [(p, 1 - 0.3 * (p[name] == 2)) for p in paths])
    assert drawn(plain) == drawn(adaptive(sampler("folded", supernet)))
    after = drawn(learning)
    assert np.mean([p[name] for p in after]) > np.mean(before) + 0.1
    cost = [np.mean([macs(path) for path in drawn(one)]) for one in (plain, learning)]
    assert cost[1] == pytest.approx(cost[0], rel=0.05)  # the budgets are kept
    again = adaptive(sampler("folded", supernet, 0, {"eta": 2.0, "tas": False, "every": 10}))
    again.load_state(learning.state())
    assert drawn(again) == after


def test_folded_takes_supernets_whose_choices_cost_together() -> None:
    """A kernel runs over a width: their MACs are a product, no sum over choices."""
    stages = [{"channels": 8, "depths": (1, 2), "expansions": (2, 3), "kernels": (3, 5)}]
    layers = {"stem": 4, "stages": stages, "head": 8}
    supernet = make_family("mobilenet", classes=3, input_shape=(1, 8, 8), **layers)
    mixture = sampler("folded", supernet)
    assert isinstance(mixture, FoldedMixture)
    count = mac_counter(supernet)
    assert mixture.chains[0].cost_range == (
        count(supernet.space.smallest),
        count(supernet.space.largest),
    )


def test_degree_draws_by_the_exponential_of_plain_degree() -> None:
    supernet = make_supernet()
    one = sampler("degree", supernet)
    assert isinstance(one, Tips)
    assert one.fit == pytest.approx(1.0, abs=1e-9)
    paths = list(supernet.space.enumerate())
    expected = np.exp([one.log_probability(path) for path in paths])
    assert expected.sum() == pytest.approx(1.0)
    draws = 20_000
    seen = Counter(one.draw(random.Random(0), draws))
    often = expected * draws >= 5
    observed = [seen[p] for p, is_often in zip(paths, often, strict=True) if is_often]
    theory = expected[often] * draws
    assert often.all()
    assert chisquare(observed, theory).pvalue > 1e-3
    # Degree adds up over feature maps, so larger is likelier, by the same temperature as TIPS.
    assert one.log_probability(supernet.space.largest) > one.log_probability(
        supernet.space.smallest
    )


def hypervolume(paths: list[Path], space: SearchSpace) -> float:
    """Area that the paths dominate, of the box from the best to (largest cost, worst loss)."""
    worst, dearest = loss(space.smallest), cost(space.largest)
    area, height = 0.0, worst
    for path in sorted(paths, key=cost):
        if loss(path) < height:
            area += (dearest - cost(path)) * (height - loss(path))
            height = loss(path)
    return area / ((dearest - cost(space.smallest)) * (worst - loss(space.largest)))


def test_joslim_approaches_the_front_faster_than_random() -> None:
    space, gains = blocks(10), []
    for seed in range(3):
        generator = random.Random(seed)
        one = Joslim(space, cost, interval=1, prior=10)
        chosen = [p for _ in range(40) for p in one.draw_with(generator, 1, Probe())]
        guessed = BudgetUniform(space, cost).draw(generator, 40)
        gains.append(hypervolume(chosen, space) - hypervolume(guessed, space))
    assert min(gains) > 0
    # and its last selections cost about everything between the ends
    costs = sorted(cost(path) / cost(space.largest) for path in chosen[10:])
    assert costs[0] < 0.4 < 0.75 < costs[-1]


def test_joslim_keeps_its_selection_and_measures_its_history_again() -> None:
    space, generator = blocks(6), random.Random(0)
    one = Joslim(space, cost, interval=3, prior=4, history=6)
    rounds = []
    for _ in range(6):
        probe = Probe()
        draws = [one.draw_with(generator, 2, probe) for _ in range(3)]
        assert draws[0] == draws[1] == draws[2]
        rounds.append((draws[0], probe.asked))
    assert [bool(asked) for _, asked in rounds] == [False, False, True, True, True, True]
    earlier = [path for drawn, _ in rounds[2:5] for path in drawn]
    assert rounds[5][1] == list(dict.fromkeys(earlier))  # the newest six, each once


def test_joslim_resumes_to_the_same_draws() -> None:
    def run(one: Joslim, first: int, last: int) -> list[list[Path]]:
        return [one.draw_with(random.Random(step), 2, loss) for step in range(first, last)]

    settings = {"interval": 4, "prior": 4, "history": 8}
    whole = Joslim(blocks(), cost, **settings)
    expected = run(whole, 0, 40)
    for stop in (1, 9, 22):
        first, second = (Joslim(blocks(), cost, **settings) for _ in range(2))
        assert run(first, 0, stop) == expected[:stop]
        second.load_state(first.state())
        assert run(second, stop, 40) == expected[stop:]


def test_the_gaussian_process_learns_a_smooth_function() -> None:
    generator = np.random.default_rng(0)

    def true(x: np.ndarray) -> np.ndarray:
        return 3.0 + np.sin(3 * x[:, 0]) + x[:, 1] ** 2

    inputs, new = generator.random((40, 3)), generator.random((400, 3))
    model = fit(inputs, true(inputs) + 0.02 * generator.standard_normal(40))
    mean, deviation = model.predict(new)
    assert np.sqrt(np.mean((mean - true(new)) ** 2)) < 0.2 * true(new).std()
    inside = np.abs(mean - true(new)) < 2 * deviation + 0.02
    assert inside.mean() > 0.85
    far, _ = model.predict(np.full((1, 3), 50.0))
    assert far[0] == pytest.approx(model.mean, abs=0.1)
