from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.profile import choose_measured
from tipsc.profile.design import RIDGE, _d_optimal


def pool(n: int = 200, positions: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([1, 2, 3], size=(n, positions))


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_as_many_distinct_paths_as_asked_for(n: int, n_optimal: int, seed: int) -> None:
    chosen = choose_measured(pool(40), n, seed=seed, n_optimal=min(n_optimal, n))
    assert len(chosen) == len(set(chosen)) == n
    assert set(chosen) <= set(range(40))


def test_a_seed_settles_the_choice() -> None:
    assert choose_measured(pool(), 20, seed=1) == choose_measured(pool(), 20, seed=1)
    assert choose_measured(pool(), 20, seed=1) != choose_measured(pool(), 20, seed=2)


def test_each_pick_enlarges_the_determinant_most() -> None:
    rows = np.random.default_rng(3).standard_normal((25, 4))
    picked = _d_optimal(rows, 8, np.random.default_rng(0))
    information = RIDGE * np.eye(4)

    def log_determinant(row: np.ndarray) -> float:
        return float(np.linalg.slogdet(information + np.outer(row, row))[1])

    for step, chosen in enumerate(picked):
        rest = [i for i in range(25) if i not in picked[:step]]
        best = max(log_determinant(rows[i]) for i in rest)
        assert log_determinant(rows[chosen]) == pytest.approx(best, rel=1e-9)
        information = information + np.outer(rows[chosen], rows[chosen])


def test_optimal_picks_tell_more_than_random_ones() -> None:
    values = pool(500, 8)
    hot = (values[:, :, None] == np.arange(1, 4)).reshape(500, -1).astype(float)

    def information(chosen: tuple[int, ...]) -> float:
        x = hot[list(chosen)]
        return float(np.linalg.slogdet(x.T @ x + RIDGE * np.eye(x.shape[1]))[1])

    optimal = [information(choose_measured(values, 24, seed=s, n_optimal=24)) for s in range(5)]
    random = [information(choose_measured(values, 24, seed=s, n_optimal=0)) for s in range(5)]
    assert min(optimal) > max(random)


def test_features_take_part() -> None:
    values = np.zeros((100, 2), dtype=int)  # the choices alone tell nothing
    features = np.linspace(0, 1, 100)[:, None]
    first_two = choose_measured(values, 2, features=features, n_optimal=2)
    assert set(first_two) == {0, 99}
