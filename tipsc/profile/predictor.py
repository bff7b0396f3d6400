"""Predict the latency of paths that were not measured, from about fifty that were.

The structural additive model::

    latency(x) = s * [1 + c + g(x)'a + sum_o k(o, x) gamma(o) + sum_j beta(j, x_j)]

with s the median measured latency, g whole-path totals (MACs, parameters, launches, ...; z-scored)
where there are any, k(o, x) how often option o occurs among choices with the same options, and
beta(j, o) what option o of choice j deviates from that. Each group has a Gaussian prior whose
variance comes from the marginal likelihood (type-II maximum likelihood), in closed form but for a
few scalars. Noise grows in proportion to the latency and has heavy tails: measurements are
weighted as under Student's t with four degrees of freedom (Lange, Little and Taylor, 1989), by
their leave-one-out residuals. Beyond five robust standard deviations they are flagged, too.

Intervals are conformal: the quantile of the leave-one-out residuals, each in units of its own
predictive standard deviation, times that of the path that is predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipsc.errors import DataError
from tipsc.profile.encoding import Encoding, checked
from tipsc.profile.evidence import Posterior, fit_posterior

Array = NDArray[np.float64]

OUTLIER_SDS = 5.0
TAIL = 4.0  # degrees of freedom of the noise
REWEIGHTINGS = 8
SMALLEST_LEVEL = 0.1  # of the median latency: no path is predicted to be faster than that


class Prediction(NamedTuple):
    """Latencies, shape (m,), in the unit of the measured ones, with their interval."""

    mean: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class AdditivePart:
    """The model as plain numbers in the unit of the latencies.

    Apart from the floor of a tenth of the median, the prediction of a path is ``constant +
    features @ weights + sum of effects[position][option]``; an option that is missing has 0.

    Attributes:
        constant: shared by all paths.
        weights: latency per unit of each feature, shape (f,).
        effects: for each position, latency of each known option.
    """

    constant: float
    weights: Array
    effects: tuple[Mapping[int, float], ...]


@dataclass(frozen=True)
class Predictor:
    """A fitted model; made by :func:`fit`.

    Attributes:
        leave_one_out: relative error (predicted / measured - 1) of each measured path when it is
            predicted from the others, shape (n,).
        outliers: numbers of the measurements that do not fit; measure them again.
        coverage: what the intervals promise, for example 0.95.
    """

    leave_one_out: Array
    outliers: tuple[int, ...]
    coverage: float
    _encoding: Encoding
    _scale: float
    _quantile: float
    _posterior: Posterior

    def predict(self, values: ArrayLike, features: ArrayLike | None = None) -> Prediction:
        """Predict paths.

        Args:
            values: options, integers of shape (m, positions). An option that was never measured
                counts as an average one, and widens the interval.
            features: whole-path totals, shape (m, f); needed exactly if the fit had them.

        Raises:
            DataError: shapes do not agree with what was fitted.
        """
        options, totals = checked(values, features)
        design = self._encoding.matrix(options, totals)
        level = _level(design, self._posterior)
        variance = np.einsum("ij,ij->i", design @ self._posterior.covariance, design)
        variance += self._encoding.unseen(options) @ np.array(self._posterior.variances)
        sd = np.sqrt(np.maximum(variance, 0.0) + (self._posterior.noise * level) ** 2)
        return Prediction(
            mean=self._scale * level,
            low=self._scale * np.maximum(level - self._quantile * sd, 0.0),
            high=self._scale * (level + self._quantile * sd),
        )

    def additive(self) -> AdditivePart:
        """The model as plain numbers, for example for the edges of a Markov chain."""
        constant, weights, effects = self._encoding.tables(self._posterior.mean)
        return AdditivePart(
            constant=self._scale * (1.0 + constant),
            weights=self._scale * weights,
            effects=tuple({o: self._scale * value for o, value in e.items()} for e in effects),
        )


def predict_latency(
    values: ArrayLike,
    latencies: ArrayLike,
    wanted: ArrayLike,
    *,
    features: ArrayLike | None = None,
    wanted_features: ArrayLike | None = None,
    coverage: float = 0.95,
) -> Prediction:
    """Predict the latencies of `wanted` paths from measured ones; nothing else is needed.

    Args:
        values: the options of each measured path's choices, integers of shape (n, positions),
            taken as names. Where several choices have the same options, give an option the same
            number in all of them.
        latencies: of these paths, positive, shape (n,), in any unit; n is at least 3.
        wanted: options of the paths to predict, shape (m, positions).
        features: whole-path totals of the measured paths, shape (n, f), in any units; optional.
        wanted_features: those of the wanted paths, shape (m, f); given exactly if `features` is.
        coverage: share of the wanted paths whose latency should lie in its interval.

    Returns:
        Mean, low and high, each of shape (m,), in the unit of `latencies`.

    Raises:
        DataError: shapes do not agree, fewer than 3 paths, or values that are not possible.
    """
    predictor = fit(values, latencies, features=features, coverage=coverage, known=wanted)
    return predictor.predict(wanted, wanted_features)


def fit(
    values: ArrayLike,
    latencies: ArrayLike,
    *,
    features: ArrayLike | None = None,
    coverage: float = 0.95,
    known: ArrayLike | None = None,
) -> Predictor:
    """Fit the model to measured paths.

    Args:
        values: the options of each path's choices, integers of shape (n, positions). They are
            taken as names, not as magnitudes.
        latencies: positive, shape (n,), in any unit.
        features: whole-path totals, shape (n, f), such as MACs or parameters, in any units.
        coverage: of the prediction intervals.
        known: options of more paths, shape (m, positions), that need not be measured; they help
            to see which choices have the same options.

    Raises:
        DataError: shapes do not agree, fewer than 3 paths, or values that are not possible.
    """
    options, totals = checked(values, features)
    measured = _measured(latencies, len(options))
    if not 0.0 < coverage < 1.0:
        raise DataError("no such coverage", expected="between 0 and 1", got=coverage)
    every = options
    if known is not None:
        more, _ = checked(known, None)
        if more.shape[1] != options.shape[1]:
            raise DataError(
                "the wanted paths do not fit the measured ones",
                expected=f"{options.shape[1]} positions",
                got=more.shape[1],
            )
        every = np.concatenate([options, more])

    encoding = Encoding.of(options, totals, every)
    design, groups = encoding.matrix(options, totals), encoding.groups
    scale = float(np.median(measured))
    target = measured / scale - 1.0

    posterior = None
    weight = np.ones(len(measured))
    level = np.maximum(measured / scale, SMALLEST_LEVEL)
    for _ in range(REWEIGHTINGS):
        posterior = fit_posterior(design, target, level / np.sqrt(weight), groups, near=posterior)
        scores = _conformal_scores(posterior, target, level, weight)
        relative = (target - posterior.leave_one_out_mean) / level
        distance = np.abs(relative) / _robust_sd(relative)
        weight = (TAIL + 1.0) / (TAIL + distance**2)
        # The noise follows the true latency; the measured one would favour lucky low values.
        level = _level(design, posterior)
    assert posterior is not None

    predicted = scale * np.maximum(1.0 + posterior.leave_one_out_mean, SMALLEST_LEVEL)
    return Predictor(
        leave_one_out=predicted / measured - 1.0,
        outliers=tuple(int(i) for i in np.flatnonzero(distance > OUTLIER_SDS)),
        coverage=coverage,
        _encoding=encoding,
        _scale=scale,
        _quantile=_conformal_quantile(scores, coverage),
        _posterior=posterior,
    )


def _measured(latencies: ArrayLike, n: int) -> Array:
    measured = np.asarray(latencies, dtype=np.float64)
    if measured.shape != (n,) or n < 3:
        raise DataError(
            "latencies do not fit the paths",
            expected=f"shape ({n},) and at least 3",
            got=f"shape {measured.shape}",
        )
    if not (np.isfinite(measured).all() and (measured > 0).all()):
        raise DataError("latencies must be finite and positive", got=f"minimum {measured.min()}")
    return measured


def _level(design: Array, posterior: Posterior) -> Array:
    """Predicted latencies in units of the median one, kept positive."""
    return np.maximum(1.0 + design @ posterior.mean, SMALLEST_LEVEL)


def _conformal_scores(posterior: Posterior, target: Array, level: Array, weight: Array) -> Array:
    """Sizes of the leave-one-out residuals, in the standard deviations that each prediction
    would have at full weight: that is how far off a path may be that was never weighed."""
    excess = (posterior.noise * level) ** 2 * (1.0 / weight - 1.0)
    variance = posterior.leave_one_out_sd**2 - excess
    return np.abs(target - posterior.leave_one_out_mean) / np.sqrt(np.maximum(variance, 1e-12))


def _conformal_quantile(scores: Array, coverage: float) -> float:
    """The ceil(coverage * (n + 1))-th smallest score.

    With too few scores for that rank even the largest is too small; then at least the quantile
    of Student's t, because the variance comes from these few as well.
    """
    n = len(scores)
    rank = int(np.ceil(coverage * (n + 1)))
    if rank <= n:
        return float(np.sort(scores)[rank - 1])
    return max(float(scores.max()), _student_quantile(0.5 + coverage / 2.0, n - 2))


def _student_quantile(probability: float, freedom: int) -> float:
    """By the expansion in 1 / freedom (Abramowitz and Stegun, 1964, 26.7.5), to second order."""
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    return z + first / freedom + second / freedom**2


def _robust_sd(residuals: Array) -> float:
    """1.4826 median absolute deviations: the standard deviation of the well-behaved part."""
    deviations = np.abs(residuals - np.median(residuals))
    return max(1.4826 * float(np.median(deviations)), 1e-9)
