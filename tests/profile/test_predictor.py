from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tipsc.errors import DataError
from tipsc.profile import Predictor, choose_measured, fit
from tipsc.profile.evidence import fit_posterior

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def additive(
    n: int, *, noise: float = 0.0, seed: int = 0, positions: int = 8
) -> tuple[Ints, Floats, Floats]:
    """Values, latencies with relative noise, and true latencies of an additive device."""
    generator = np.random.default_rng(seed)
    values = generator.choice([16, 24, 32], size=(n, positions))
    tables = generator.uniform(0.2, 1.0, size=(positions, 3))
    codes = (values - 16) // 8
    truth = 2.0 + tables[np.arange(positions), codes].sum(axis=1)
    return values, truth * (1.0 + noise * generator.standard_normal(n)), truth


def test_an_additive_device_without_noise_is_learned() -> None:
    values, latencies, truth = additive(300)
    predicted = fit(values[:50], latencies[:50]).predict(values[50:]).mean
    # 17 free weights from 50 exact measurements; what is left is the prior's shrinkage.
    np.testing.assert_allclose(predicted, truth[50:], rtol=0.01)


def test_noise_is_averaged_out() -> None:
    values, latencies, truth = additive(1000, noise=0.03, seed=1)
    predicted = fit(values[:60], latencies[:60]).predict(values[60:]).mean
    error = np.abs(predicted / truth[60:] - 1)
    assert error.mean() < 0.03
    constant = np.abs(np.median(latencies[:60]) / truth[60:] - 1)
    assert error.mean() < 0.5 * constant.mean()


def test_totals_carry_what_choices_do_not_add_up_to() -> None:
    generator = np.random.default_rng(2)
    values = generator.choice([1, 2, 3, 4], size=(400, 4))
    macs = values.prod(axis=1, keepdims=True).astype(float)  # not additive in the choices
    latencies = 5.0 + 0.1 * macs[:, 0]

    def error(features: Floats | None) -> float:
        known, asked = (None, None) if features is None else (features[:50], features[50:])
        predicted = fit(values[:50], latencies[:50], features=known).predict(values[50:], asked)
        return float(np.abs(predicted.mean / latencies[50:] - 1).mean())

    assert error(macs) < 0.01
    assert error(macs) < 0.2 * error(None)


def test_units_do_not_matter() -> None:
    values, latencies, _ = additive(120, noise=0.02, seed=3)
    features = values.sum(axis=1, keepdims=True).astype(float)
    one = fit(values[:50], latencies[:50], features=features[:50])
    other = fit(values[:50], 1e6 * latencies[:50], features=1e-9 * features[:50])
    a = one.predict(values[50:], features[50:])
    b = other.predict(values[50:], 1e-9 * features[50:])
    for first, second in zip(a, b, strict=True):
        np.testing.assert_allclose(1e6 * first, second, rtol=1e-5)


def test_the_order_of_measurements_does_not_matter() -> None:
    values, latencies, _ = additive(80, noise=0.02, seed=4)
    turned = np.random.default_rng(0).permutation(50)
    one = fit(values[:50], latencies[:50]).predict(values[50:])
    other = fit(values[turned], latencies[turned]).predict(values[50:])
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-5)


def test_intervals_cover_what_they_promise() -> None:
    """Over 12 devices and 6,000 paths; binomial noise between devices is about 2 points."""
    covered = []
    for seed in range(12):
        values, latencies, _ = additive(550, noise=0.05, seed=seed)
        _, low, high = fit(values[:50], latencies[:50]).predict(values[50:])
        covered.append(float(((latencies[50:] >= low) & (latencies[50:] <= high)).mean()))
    assert 0.92 < np.mean(covered) < 0.98


def test_less_coverage_means_narrower_intervals() -> None:
    values, latencies, _ = additive(100, noise=0.05)
    wide = fit(values[:50], latencies[:50], coverage=0.95).predict(values[50:])
    narrow = fit(values[:50], latencies[:50], coverage=0.5).predict(values[50:])
    np.testing.assert_allclose(wide.mean, narrow.mean)
    assert ((wide.high - wide.low) > (narrow.high - narrow.low)).all()


def test_a_wrong_measurement_is_flagged_and_does_little_harm() -> None:
    values, latencies, truth = additive(300, noise=0.01, seed=5)
    clean = fit(values[:50], latencies[:50])
    spoiled = latencies.copy()
    spoiled[7] *= 3.0
    found = fit(values[:50], spoiled[:50])
    assert clean.outliers == ()
    assert found.outliers == (7,)
    error = np.abs(found.predict(values[50:]).mean / truth[50:] - 1)
    assert error.mean() < 0.02


def test_leave_one_out_errors_are_those_of_paths_left_out() -> None:
    """In closed form, against really leaving out at the same variances."""
    generator = np.random.default_rng(6)
    design = np.concatenate([np.ones((30, 1)), generator.standard_normal((30, 5))], axis=1)
    target = design @ generator.standard_normal(6) + 0.1 * generator.standard_normal(30)
    level = generator.uniform(0.5, 2.0, 30)
    found = fit_posterior(design, target, level, ((1, 1.0), (5, None)))
    variances = ((1, 1.0), (5, found.variances[1]))
    prior = np.diag([1.0] + 5 * [variances[1][1]])
    for left_out in range(30):
        keep = np.arange(30) != left_out
        x, noise = design[keep], (found.noise * level[keep]) ** 2
        kernel = x @ prior @ x.T + np.diag(noise)
        alone = design[left_out] @ prior @ x.T
        mean = alone @ np.linalg.solve(kernel, target[keep])
        variance = (
            design[left_out] @ prior @ design[left_out]
            - alone @ np.linalg.solve(kernel, alone)
            + (found.noise * level[left_out]) ** 2
        )
        assert found.leave_one_out_mean[left_out] == pytest.approx(mean, rel=1e-6, abs=1e-8)
        assert found.leave_one_out_sd[left_out] == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_the_evidence_is_at_its_maximum() -> None:
    from scipy.stats import multivariate_normal

    generator = np.random.default_rng(7)
    design = generator.standard_normal((40, 6))
    target = design @ generator.standard_normal(6) + 0.3 * generator.standard_normal(40)
    found = fit_posterior(design, target, np.ones(40), ((3, None), (3, None)))

    def evidence(first: float, second: float, noise: float) -> float:
        prior = np.diag([first] * 3 + [second] * 3)
        covariance = design @ prior @ design.T + noise**2 * np.eye(40)
        return float(multivariate_normal(np.zeros(40), covariance).logpdf(target))

    best = (*found.variances, found.noise)
    assert found.evidence == pytest.approx(evidence(*best), abs=1e-6)
    for index in range(3):
        for factor in (0.9, 1.1):
            moved = [v * (factor if i == index else 1.0) for i, v in enumerate(best)]
            assert evidence(*moved) < found.evidence + 1e-4


def test_an_option_never_measured_counts_as_an_average_one() -> None:
    values, latencies, _ = additive(60)
    model = fit(values, latencies)
    row = values[:1].copy()
    row[0, 0] = 99
    mean, low, high = model.predict(row)
    assert latencies.min() < mean[0] < latencies.max()
    known = model.predict(values[:1])
    assert high[0] - low[0] > known.high[0] - known.low[0]


@pytest.mark.parametrize("n", [3, 5, 10])
def test_few_measurements_give_finite_positive_latencies(n: int) -> None:
    values, latencies, _ = additive(n + 50, noise=0.1, seed=8)
    mean, low, high = fit(values[:n], latencies[:n]).predict(values[n:])
    assert np.isfinite([mean, low, high]).all()
    assert (mean > 0).all()
    assert ((low >= 0) & (low <= mean) & (mean <= high)).all()


def test_equal_latencies_are_predicted_again() -> None:
    values, _, _ = additive(20)
    model = fit(values, np.full(20, 3.0))
    np.testing.assert_allclose(model.predict(values).mean, 3.0, rtol=1e-3)
    assert model.outliers == ()


def fitted() -> Predictor:
    values, latencies, _ = additive(20)
    return fit(values, latencies)


V, L, _ = additive(20)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fit(V, L[:5]), r"expected shape \(20,\)"),
        (lambda: fit(V[:2], L[:2]), "at least 3"),
        (lambda: fit(V, -L), "finite and positive"),
        (lambda: fit(V, np.full(20, np.nan)), "finite and positive"),
        (lambda: fit(V / 3, L), "must be integers"),
        (lambda: fit(V[:, 0], L), "must be integers of shape"),
        (lambda: fit(V, L, features=L), "features do not fit the paths"),
        (lambda: fit(V, L, features=np.full((20, 1), np.inf)), "features must be finite"),
        (lambda: fit(V, L, coverage=95), "no such coverage"),
        (lambda: fitted().predict(V[:, :3]), "expected 8 positions, got 3"),
        (lambda: fitted().predict(V, L[:, None]), "expected no features, got 1"),
        (lambda: choose_measured(V, 21), "cannot choose so many"),
        (lambda: choose_measured(V, 5, n_optimal=6), "n_optimal is not possible"),
        (lambda: choose_measured(V, 5, features=L), "features do not fit"),
    ],
)
def test_what_does_not_fit_together_is_refused(call, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=says):
        call()
