"""Effects of options are found under noise, with honest uncertainty, and forgotten in time."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from spaces import blocks

from tipsc.errors import DataError
from tipsc.paths import Path, SearchSpace
from tipsc.train.utility import Utility

SPACE = blocks(6)


def random_effects(generator: np.random.Generator, size: float = 0.05) -> list[np.ndarray]:
    return [generator.normal(0, size, len(choice.options)) for choice in SPACE.choices]


def worth(effects: list[np.ndarray], path: Path, space: SearchSpace = SPACE) -> float:
    return sum(
        row[choice.options.index(path[choice.name])]
        for choice, row in zip(space.choices, effects, strict=True)
        if space.is_active(choice.name, path.options)
    )


def contrasts(effects: list[np.ndarray]) -> np.ndarray:
    """Of each option over the smallest, all else as small as can be: what can be identified."""
    return np.array(
        [
            worth(effects, SPACE.smallest_with({choice.name: option}))
            - worth(effects, SPACE.smallest_with({choice.name: choice.smallest}))
            for choice in SPACE.choices
            for option in choice.options[1:]
        ]
    )


def learned(utility: Utility) -> tuple[np.ndarray, np.ndarray]:
    found = utility.effects()
    mean = np.concatenate([row[1:] for row in found.mean])
    return mean, np.concatenate([row[1:] for row in found.deviation])


def test_recovers_known_effects_under_noise_single_path() -> None:
    generator, chance = np.random.default_rng(0), random.Random(0)
    effects = random_effects(generator)
    utility = Utility(SPACE, memory=np.inf)
    for _ in range(4000):
        path = SPACE.sample_options(chance)
        utility.observe([(path, 2.0 - worth(effects, path) + generator.normal(0, 0.1))])
    mean, deviation = learned(utility)
    assert np.abs(mean - contrasts(effects)).max() < 0.03
    assert np.corrcoef(mean, contrasts(effects))[0, 1] > 0.97
    assert deviation.max() < 0.02


def test_the_largest_path_on_the_same_batch_removes_the_noise_of_the_batch() -> None:
    generator, chance = np.random.default_rng(1), random.Random(1)
    effects = random_effects(generator)
    errors = []
    for with_largest in (False, True):
        utility = Utility(SPACE, memory=np.inf)
        for _ in range(800):
            batch = generator.normal(0, 0.3)
            path = SPACE.sample_options(chance)
            paths = [SPACE.largest, path] if with_largest else [path]
            utility.observe(
                [(p, 2 + batch - worth(effects, p) + generator.normal(0, 0.02)) for p in paths]
            )
        mean, _ = learned(utility)
        errors.append(float(np.abs(mean - contrasts(effects)).mean()))
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("with_largest", [False, True])
def test_progress_of_training_is_not_mistaken_for_a_better_option(with_largest: bool) -> None:
    """Loss falls from 2.3 while the widths that are drawn grow; all options are worth nothing."""
    generator, chance = np.random.default_rng(2), random.Random(2)
    utility = Utility(SPACE, memory=np.inf)
    raw = []
    for step in range(3000):
        progress = step / 3000
        options = {
            c.name: c.options[sum(chance.random() < 0.2 + 0.6 * progress for _ in c.options[1:])]
            for c in SPACE.choices
        }
        path = SPACE.path(options)
        paths = [SPACE.largest, path] if with_largest else [path]
        level = 2.3 * np.exp(-3 * progress)
        losses = [(p, level + generator.normal(0, 0.05)) for p in paths]
        utility.observe(losses)
        raw.append((path["block0"], losses[-1][1]))
    mean, _ = learned(utility)
    naive = np.mean([v for w, v in raw if w == 1]) - np.mean([v for w, v in raw if w == 4])
    assert naive > 0.3  # what averages would have said of the widest option of block0
    assert np.abs(mean).max() < 0.05


def test_a_drifting_truth_is_followed() -> None:
    generator, chance = np.random.default_rng(3), random.Random(3)
    before = random_effects(generator)
    after = random_effects(generator)
    errors = {}
    for memory in (400.0, np.inf):
        utility = Utility(SPACE, memory=memory)
        for step in range(4000):
            path = SPACE.sample_options(chance)
            effects = before if step < 2000 else after
            utility.observe([(path, 1.0 - worth(effects, path) + generator.normal(0, 0.05))])
        errors[memory] = float(np.abs(learned(utility)[0] - contrasts(after)).mean())
    assert errors[400.0] < 0.02
    assert errors[400.0] < errors[np.inf] / 2


def test_an_option_that_is_not_drawn_any_more_returns_to_the_prior() -> None:
    chance, generator = random.Random(4), np.random.default_rng(4)
    utility = Utility(SPACE, memory=100.0)
    for step in range(3000):
        path = SPACE.sample_options(chance) if step < 1000 else SPACE.smallest
        utility.observe([(path, 1.0 - 0.1 * (path["block0"] == 4) + generator.normal(0, 0.02))])
        if step == 999:
            early, _ = learned(utility)
    late, deviation = learned(utility)
    place = 1 + len(SPACE.choices[0].options[1:])  # block0 = 4
    assert early[place] == pytest.approx(0.1, abs=0.02)
    assert abs(late[place]) < 0.01
    assert np.isfinite(deviation).all()
    assert deviation.max() < 1.0


def test_the_covariance_is_calibrated() -> None:
    """Truths drawn from the prior: z-scores have mean 0 and variance 1."""
    scores = []
    for seed in range(60):
        generator, chance = np.random.default_rng(seed), random.Random(seed)
        noise = 0.1
        effects = random_effects(generator, noise)  # the prior: precision 1 / noise variance
        utility = Utility(SPACE, memory=np.inf, window=1e9)  # a fixed baseline, no noise of its own
        utility.observe([(SPACE.smallest, 2.0)])
        for _ in range(150):
            path = SPACE.sample_options(chance)
            utility.observe([(path, 2.0 - worth(effects, path) + generator.normal(0, noise))])
        mean, deviation = learned(utility)
        scores.extend((mean - contrasts(effects)) / deviation)
    assert abs(np.mean(scores)) < 0.15
    assert 0.85 < np.std(scores) < 1.15
    assert 0.92 < np.mean(np.abs(scores) < 1.96) < 0.98


def test_a_score_that_is_right_helps_before_data_and_a_wrong_one_is_overruled() -> None:
    generator, chance = np.random.default_rng(5), random.Random(5)
    effects = random_effects(generator)
    wrong = [-row for row in random_effects(generator)]

    def error(scores: list[np.ndarray] | None, steps: int) -> float:
        utility = Utility(SPACE, memory=np.inf, scores=scores, precision=10.0)  # type: ignore[arg-type]
        noise = np.random.default_rng(6)
        for _ in range(steps):
            path = SPACE.sample_options(chance)
            utility.observe([(path, 1 - worth(effects, path) + noise.normal(0, 0.1))])
        return float(np.abs(learned(utility)[0] - contrasts(effects)).mean())

    assert error(effects, 60) < 0.7 * error(None, 60)
    assert error(wrong, 4000) < 0.01


def test_interactions_of_neighbours_are_found() -> None:
    generator, chance = np.random.default_rng(7), random.Random(7)
    found = {}
    for interactions in (False, True):
        utility = Utility(SPACE, memory=np.inf, interactions=interactions)
        for _ in range(3000):
            path = SPACE.sample_options(chance)
            both = path["block0"] == 4 and path["block1"] == 4
            utility.observe([(path, 1.0 - 0.3 * both + generator.normal(0, 0.05))])
        other = {"block0": 4, "block1": 1}, {"block0": 1, "block1": 4}, {"block0": 4, "block1": 4}
        values, _ = utility.predict([SPACE.path(options) for options in other])
        found[interactions] = values
    assert abs(found[True] - [0, 0, 0.3]).max() < 0.05
    assert found[False][0] > 0.06  # effects alone cannot say it


@pytest.mark.parametrize("interactions", [False, True])
def test_effects_add_up_to_what_is_predicted(interactions: bool) -> None:
    generator, chance = np.random.default_rng(8), random.Random(8)
    utility = Utility(SPACE, interactions=interactions)
    for _ in range(300):
        utility.observe([(SPACE.sample_options(chance), generator.normal())])
    found = utility.effects()
    paths = [SPACE.sample_options(chance) for _ in range(50)]
    for path, expected in zip(paths, utility.predict(paths)[0], strict=True):
        active = [SPACE.is_active(choice.name, path.options) for choice in SPACE.choices]
        place = [c.options.index(path[c.name]) for c in SPACE.choices]
        total = sum(
            row[k] for row, k, is_on in zip(found.mean, place, active, strict=True) if is_on
        )
        total += sum(
            table[place[i], place[j]]
            for (i, j), table in found.pairs.items()
            if active[i] and active[j]
        )
        assert total == pytest.approx(expected, abs=1e-9)
    expected = utility.predict(paths)[0]
    np.testing.assert_allclose(utility.additive().of_many(paths), expected, atol=1e-9)


def test_state_resumes_exactly() -> None:
    chance = random.Random(8)
    drawn = [[(SPACE.sample_options(chance), chance.random())] for _ in range(60)]
    whole, first, second = (Utility(SPACE, memory=50.0) for _ in range(3))
    for losses in drawn:
        whole.observe(losses)
    for losses in drawn[:25]:
        first.observe(losses)
    second.load_state(first.state())
    for losses in drawn[25:]:
        second.observe(losses)
    for name, value in whole.state().items():
        assert (value == second.state()[name]).all()


def test_before_any_observation_nothing_is_known() -> None:
    utility = Utility(SPACE)
    mean, deviation = learned(utility)
    assert (mean == 0).all()
    assert (deviation > 0.01).all()


def test_an_update_is_quadratic_and_a_long_run_stays_positive_definite() -> None:
    space, chance = blocks(24), random.Random(9)
    utility = Utility(space, memory=200.0)
    paths = [space.sample_options(chance) for _ in range(50)]
    start = time.perf_counter()
    for step in range(20_000):
        utility.observe([(paths[step % 50], 1e6 * (step % 7))])
    assert time.perf_counter() - start < 60  # 20,000 steps: a hang, not a slow machine
    mean, deviation = learned(utility)
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()


@pytest.mark.parametrize("wrong", [{"memory": 1.0}, {"precision": 0.0}, {"scores": [[1.0]]}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError):
        Utility(SPACE, **wrong)  # type: ignore[arg-type]
