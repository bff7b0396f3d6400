"""The one public function: what it may be given, and laws that hold for any of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tipsc.errors import DataError
from tipsc.profile import Prediction, fit, predict_latency

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def device(
    n: int, *, seed: int = 0, positions: int = 6, options: int = 4, noise: float = 0.02
) -> tuple[Ints, Floats, Floats]:
    """Values, noisy latencies and whole-path totals; every option costs alike everywhere."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, options, (n, positions))
    price = generator.uniform(0.1, 2.0, options)
    truth = 1.0 + price[values].sum(axis=1)
    totals = np.stack([price[values].sum(axis=1), (values == 0).sum(axis=1)], axis=1)
    return values, truth * (1.0 + noise * generator.standard_normal(n)), 1e6 * totals


def close(one: Prediction, other: Prediction, rtol: float = 1e-4) -> None:
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first, second, rtol=rtol)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(3, 60),
    positions=st.integers(1, 8),
    options=st.integers(1, 5),
    with_features=st.booleans(),
)
def test_the_plain_numbers_are_the_prediction(
    seed: int, n: int, positions: int, options: int, with_features: bool
) -> None:
    values, latencies, totals = device(n + 20, seed=seed, positions=positions, options=options)
    known, asked = (totals[:n], totals[n:]) if with_features else (None, None)
    predictor = fit(values[:n], latencies[:n], features=known)
    model = predictor.additive()
    table = [
        sum(effect.get(option, 0.0) for effect, option in zip(model.effects, row, strict=True))
        for row in values[n:].tolist()
    ]
    expected = model.constant + np.array(table)
    expected += asked @ model.weights if asked is not None else 0.0
    floor = 0.1 * np.median(latencies[:n])
    predicted = predictor.predict(values[n:], asked).mean
    np.testing.assert_allclose(np.maximum(expected, floor), predicted, rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_orders_and_names_do_not_matter(seed: int) -> None:
    """Rows, positions, and the numbers that stand for options, the same in all positions."""
    values, latencies, _ = device(70, seed=seed)
    generator = np.random.default_rng(seed)
    rows, positions = generator.permutation(40), generator.permutation(values.shape[1])
    names = generator.choice(np.array([-7, 0, 3, 10**12, -(2**60), 55]), 4, replace=False)
    plain = predict_latency(values[:40], latencies[:40], values[40:])
    turned = predict_latency(values[:40][rows], latencies[:40][rows], values[40:])
    close(plain, turned)
    moved = predict_latency(values[:40][:, positions], latencies[:40], values[40:][:, positions])
    close(plain, moved)
    close(plain, predict_latency(names[values[:40]], latencies[:40], names[values[40:]]))


def test_options_that_cost_alike_everywhere_are_learnt_from_few_measurements() -> None:
    """24 one-hot weights from 15 measurements: only possible when choices share."""
    errors = []
    for seed in range(5):
        values, latencies, _ = device(415, seed=seed, noise=0.01)
        mean = predict_latency(values[:15], latencies[:15], values[15:]).mean
        errors.append(float(np.median(np.abs(mean / latencies[15:] - 1))))
    assert np.median(errors) < 0.03


def test_intervals_cover_known_noise_with_and_without_features() -> None:
    """24 fits, 300 paths each; the mean over fits moves by about a point."""
    covered = []
    for seed in range(12):
        values, latencies, totals = device(350, seed=seed, noise=0.05)
        for known, asked in ((None, None), (totals[:50], totals[50:])):
            _, low, high = predict_latency(
                values[:50], latencies[:50], values[50:], features=known, wanted_features=asked
            )
            covered.append(((latencies[50:] >= low) & (latencies[50:] <= high)).mean())
    assert 0.92 < np.mean(covered) < 0.985


def test_an_option_that_was_never_measured_widens_the_interval() -> None:
    values, latencies, _ = device(40)
    wanted = values[:2].copy()
    wanted[1, 2] = 99
    mean, low, high = predict_latency(values, latencies, wanted)
    assert np.isfinite([mean, low, high]).all()
    assert high[1] - low[1] > 1.5 * (high[0] - low[0])


def test_several_outliers_are_all_found() -> None:
    values, latencies, _ = device(60, noise=0.01)
    spoiled = latencies.copy()
    spoiled[[3, 17, 40]] *= [2.0, 0.4, 1.6]
    found = fit(values, spoiled)
    assert set(found.outliers) == {3, 17, 40}
    clean = fit(values, latencies).predict(values).mean
    np.testing.assert_allclose(found.predict(values).mean, clean, rtol=0.02)


@pytest.mark.parametrize("n", [3, 4, 7])
def test_three_measurements_are_enough_to_answer(n: int) -> None:
    values, latencies, totals = device(30)
    for known, asked in ((None, None), (totals[:n], totals[n:])):
        mean, low, high = predict_latency(
            values[:n], latencies[:n], values[n:], features=known, wanted_features=asked
        )
        assert (mean > 0).all() and (low <= mean).all() and (mean <= high).all()
        assert np.isfinite(high).all()


def test_constant_columns_and_doubled_rows_do_no_harm() -> None:
    values, latencies, totals = device(60, noise=0.0)
    plain = predict_latency(values[:40], latencies[:40], values[40:]).mean
    constant = np.concatenate([values, np.full((60, 2), 5)], axis=1)
    padded = predict_latency(constant[:40], latencies[:40], constant[40:]).mean
    np.testing.assert_allclose(padded, plain, rtol=0.01)
    twice = np.repeat(np.arange(40), 2)
    doubled = predict_latency(values[twice], latencies[twice], values[40:]).mean
    np.testing.assert_allclose(doubled, latencies[40:], rtol=0.02)
    still = np.full((60, 1), 1e9)
    features = np.concatenate([totals, still], axis=1)
    moved = features[40:] + np.array([0.0, 0.0, 1.0])
    with_still = predict_latency(
        values[:40], latencies[:40], values[40:], features=features[:40], wanted_features=moved
    )
    np.testing.assert_allclose(with_still.mean, latencies[40:], rtol=0.02)


def test_equal_latencies_are_predicted_as_they_are() -> None:
    values, _, _ = device(30)
    mean, low, high = predict_latency(values, np.full(30, 7.0), values)
    np.testing.assert_allclose(mean, 7.0, rtol=1e-3)
    assert (low <= mean).all() and (mean <= high).all()


def test_two_thousand_measurements_are_as_good_as_fifty_and_no_trouble() -> None:
    values, latencies, _ = device(2500, noise=0.05)
    truth = device(2500, noise=0.0)[1]
    mean = predict_latency(values[:2000], latencies[:2000], values[2000:]).mean
    np.testing.assert_allclose(mean, truth[2000:], rtol=0.01)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"wanted": np.zeros((2, 3), dtype=int)}, "do not fit the measured"),
        ({"wanted": np.full((2, 6), 0.5)}, "must be integers"),
        ({"values": np.zeros((2, 6), dtype=int), "latencies": [1.0, 1.0]}, "at least 3"),
        ({"latencies": np.zeros(30)}, "finite and positive"),
        ({"features": np.ones((30, 2))}, "features do not fit the model"),
        ({"wanted_features": np.ones((30, 2))}, "features do not fit the model"),
        ({"coverage": 1.0}, "no such coverage"),
    ],
)
def test_what_is_not_possible_is_said(change: dict[str, object], says: str) -> None:
    values, latencies, _ = device(30)
    given: dict[str, object] = {"values": values, "latencies": latencies, "wanted": values}
    with pytest.raises(DataError, match=says):
        predict_latency(**{**given, **change})  # type: ignore[arg-type]
