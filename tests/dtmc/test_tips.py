import math
import random
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare
from toy import bare, toy_space, toy_steps

from tipsc.dtmc.graph import feature_maps, supergraph
from tipsc.dtmc.hyper import tas
from tipsc.dtmc.samplers import Sandwich, Uniform
from tipsc.dtmc.tips import Tips, tips_sampler
from tipsc.errors import DataError
from tipsc.paths import Choice, SearchSpace


@pytest.fixture(scope="module")
def space():
    return toy_space(stages=1)


@pytest.fixture(scope="module")
def sampler(space):
    return tips_sampler(space, toy_steps, random.Random(1))


def uniform_probability(space, path):
    """Of :meth:`SearchSpace.sample_options`, by hand."""
    return math.prod(
        1 / len(c.options) for c in space.choices if space.is_active(c.name, path.options)
    )


def true_tps(space, generator, subnetworks=64):
    """TPS as the sampler should see it, from the parts."""
    uniform = [space.sample_options(generator) for _ in range(subnetworks - 2)]
    union = supergraph([toy_steps(p) for p in (space.largest, space.smallest, *uniform)])
    scores = dict(zip(union.graph.nodes, tas(union), strict=True))

    def tps(path):
        return sum(scores.get(name, 0.0) for name in feature_maps(toy_steps(path)))

    return tps, float(np.std([tps(path) for path in uniform]))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_paths_are_drawn_by_the_exponential_of_their_score(space, temperature):
    sampler = tips_sampler(space, toy_steps, random.Random(1), temperature=temperature)
    tps, sigma = true_tps(space, random.Random(1))
    paths = list(space.enumerate())
    weights = np.array(
        [uniform_probability(space, p) * math.exp(tps(p) / (temperature * sigma)) for p in paths]
    )
    expected = weights / weights.sum()
    stated = np.exp([sampler.log_probability(path) for path in paths])
    np.testing.assert_allclose(stated, expected, rtol=1e-9)
    assert sampler.fit == pytest.approx(1.0, abs=1e-9)

    draws = 20_000
    seen = Counter(sampler.draw(random.Random(2), draws))
    assert set(seen) <= set(paths)
    often = expected * draws >= 5  # the usual condition of the test
    observed = [seen[path] for path, is_often in zip(paths, often, strict=True) if is_often]
    observed.append(draws - sum(observed))
    theory = [*(expected[often] * draws), draws * (1 - expected[often].sum())]
    if theory[-1] < 5:
        observed[-2:], theory[-2:] = [sum(observed[-2:])], [sum(theory[-2:])]
    # The seed is fixed: this fails for a wrong distribution, not once in a thousand runs.
    assert chisquare(observed, np.array(theory) * draws / sum(theory)).pvalue > 1e-3


def test_infinite_temperature_is_uniform_sampling(space):
    sampler = tips_sampler(space, toy_steps, random.Random(1), temperature=math.inf)
    for path in space.enumerate():
        expected = math.log(uniform_probability(space, path))
        assert sampler.log_probability(path) == pytest.approx(expected, abs=1e-12)


def test_lower_temperature_means_higher_scores(space):
    tps, _ = true_tps(space, random.Random(1))
    paths = list(space.enumerate())
    means = []
    for temperature in (math.inf, 4.0, 1.0, 0.25):
        sampler = tips_sampler(space, toy_steps, random.Random(1), temperature=temperature)
        means.append(sum(math.exp(sampler.log_probability(p)) * tps(p) for p in paths))
    assert means == sorted(means)
    assert means[0] < means[-1]


def test_paths_of_equal_score_are_uniform():
    space = SearchSpace((Choice("kernel", (3, 5, 7)),))
    sampler = tips_sampler(
        space, lambda path: bare(toy_steps(toy_space().smallest)), random.Random(0)
    )
    assert sampler.sharpness == 0
    assert sampler.fit == 1
    for path in space.enumerate():
        assert sampler.log_probability(path) == pytest.approx(math.log(1 / 3))


def test_widths_count_only_with_channel_groups(space, sampler):
    blind = tips_sampler(space, lambda path: bare(toy_steps(path)), random.Random(1))
    for choice, without, effects in zip(space.choices, blind.effects, sampler.effects, strict=True):
        if choice.name.endswith("width"):
            assert without == (0.0, 0.0, 0.0)
            assert 0 < effects[1] < effects[2]


def test_fit_says_when_effects_do_not_add_up():
    space = SearchSpace((Choice("a", (0, 1)), Choice("b", (0, 1))))
    path = toy_space(stages=1).path

    def either(p):  # the deep network as soon as one choice asks for it
        return toy_steps(path({"s0.depth": 3 if p["a"] or p["b"] else 1}))

    def only_a(p):
        return toy_steps(path({"s0.depth": 3 if p["a"] else 1}))

    assert tips_sampler(space, either, random.Random(0)).fit < 0.9
    assert tips_sampler(space, only_a, random.Random(0)).fit == pytest.approx(1.0, abs=1e-9)


def test_draws_depend_on_the_generator_alone(sampler):
    generator = random.Random(5)
    sampler.draw(generator, 7)
    state = generator.getstate()
    first = sampler.draw(generator, 10)
    generator.setstate(state)
    assert sampler.draw(generator, 10) == first
    again = tips_sampler(toy_space(stages=1), toy_steps, random.Random(1))
    generator.setstate(state)
    assert again.draw(generator, 10) == first


def test_a_large_space_is_drawn_from_without_enumeration():
    space = toy_space(stages=5, blocks=4)
    assert space.size > 10**9
    sampler = tips_sampler(space, toy_steps, random.Random(0), subnetworks=16)
    assert sampler.fit == pytest.approx(1.0, abs=1e-9)
    assert all(path in space for path in sampler.draw(random.Random(0), 50))


def test_extreme_sharpness_draws_the_best_path(space):
    effects = tuple(tuple(float(i) for i, _ in enumerate(c.options)) for c in space.choices)
    sampler = Tips(space, effects, sharpness=1e6)
    assert set(sampler.draw(random.Random(0), 50)) == {space.largest}


@pytest.mark.parametrize(
    "settings", [{"temperature": 0}, {"temperature": math.nan}, {"subnetworks": 3}]
)
def test_settings_out_of_range_are_refused(space, settings):
    with pytest.raises(DataError, match="TIPS sampler"):
        tips_sampler(space, toy_steps, random.Random(0), **settings)


def test_uniform_draws_every_option_of_a_choice_equally_often(space):
    drawn = Uniform(space).draw(random.Random(0), 9000)
    depths = Counter(path["s0.depth"] for path in drawn)
    assert chisquare([depths[d] for d in (1, 2, 3)]).pvalue > 1e-3


def test_sandwich_has_the_ends_first(space, sampler):
    ends = [space.largest, space.smallest]
    assert Sandwich(space).draw(random.Random(0), 1) == ends[:1]
    assert Sandwich(space).draw(random.Random(0), 2) == ends
    assert Sandwich(space).draw(random.Random(0), 0) == []
    drawn = Sandwich(space).draw(random.Random(0), 6)
    assert drawn == ends + Uniform(space).draw(random.Random(0), 4)
    drawn = Sandwich(space, sampler).draw(random.Random(0), 6)
    assert drawn == ends + sampler.draw(random.Random(0), 4)
