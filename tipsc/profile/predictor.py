"""Predict the latency of paths that were not measured, from about fifty that were.

The structural additive model::

    latency(x) = s * [1 + c + g(x)'a + sum_j beta(j, x_j)]

with s the median measured latency, g whole-path totals (MACs, parameters, launches, ...; z-scored)
and beta(j, o) the deviation of option o of choice j. Each group has a Gaussian prior whose variance
comes from the marginal likelihood (type-II maximum likelihood), in closed form but for a few
scalars. Noise grows in proportion to the latency and has heavy tails: measurements are weighted
as under Student's t with four degrees of freedom (Lange, Little and Taylor, 1989), by their
leave-one-out residuals. Beyond five robust standard deviations they are flagged, too.

Intervals are conformal: the quantile of the leave-one-out residuals, each in units of its own
predictive standard deviation, times that of the path that is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipsc.errors import DataError
from tipsc.profile.evidence import Groups, Posterior, fit_posterior

Array = NDArray[np.float64]

OUTLIER_SDS = 5.0
TAIL = 4.0  # degrees of freedom of the noise
REWEIGHTINGS = 8
SMALLEST_LEVEL = 0.1  # of the median latency: no path is predicted to be faster than that
INTERCEPT_VARIANCE = 1.0  # s * (1 + c): c is of the order of one at most


class Prediction(NamedTuple):
    """Latencies, shape (m,), in the unit of the measured ones, with their interval."""

    mean: Array
    low: Array
    high: Array


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
    _encoding: _Encoding
    _scale: float
    _quantile: float
    _posterior: Posterior

    def predict(self, values: ArrayLike, features: ArrayLike | None = None) -> Prediction:
        """Predict paths.

        Args:
            values: options, integers of shape (m, positions). An option that was never measured
                counts as an average one.
            features: whole-path totals, shape (m, f); needed exactly if the fit had them.

        Raises:
            DataError: shapes do not agree with what was fitted.
        """
        design = self._encoding.matrix(*_checked(values, features))
        level = _level(design, self._posterior)
        variance = np.einsum("ij,ij->i", design @ self._posterior.covariance, design)
        sd = np.sqrt(np.maximum(variance, 0.0) + (self._posterior.noise * level) ** 2)
        return Prediction(
            mean=self._scale * level,
            low=self._scale * np.maximum(level - self._quantile * sd, 0.0),
            high=self._scale * (level + self._quantile * sd),
        )


def fit(
    values: ArrayLike,
    latencies: ArrayLike,
    *,
    features: ArrayLike | None = None,
    coverage: float = 0.95,
) -> Predictor:
    """Fit the model to measured paths.

    Args:
        values: the options of each path's choices, integers of shape (n, positions). They are
            taken as names, not as magnitudes.
        latencies: positive, shape (n,), in any unit.
        features: whole-path totals, shape (n, f), such as MACs or parameters, in any units.
        coverage: of the prediction intervals.

    Raises:
        DataError: shapes do not agree, fewer than 3 paths, or values that are not possible.
    """
    options, totals = _checked(values, features)
    measured = np.asarray(latencies, dtype=np.float64)
    if measured.shape != (len(options),) or len(options) < 3:
        raise DataError(
            "latencies do not fit the paths",
            expected=f"shape ({len(options)},) and at least 3",
            got=f"shape {measured.shape}",
        )
    if not (np.isfinite(measured).all() and (measured > 0).all()):
        raise DataError("latencies must be finite and positive", got=f"minimum {measured.min()}")
    if not 0.0 < coverage < 1.0:
        raise DataError("no such coverage", expected="between 0 and 1", got=coverage)

    encoding = _Encoding.of(options, totals)
    design, groups = encoding.matrix(options, totals), encoding.groups
    scale = float(np.median(measured))
    target = measured / scale - 1.0

    weight = np.ones(len(measured))
    level = np.maximum(measured / scale, SMALLEST_LEVEL)
    for _ in range(REWEIGHTINGS):
        posterior = fit_posterior(design, target, level / np.sqrt(weight), groups)
        scores = _conformal_scores(posterior, target, level, weight)
        relative = (target - posterior.leave_one_out_mean) / level
        distance = np.abs(relative) / _robust_sd(relative)
        weight = (TAIL + 1.0) / (TAIL + distance**2)
        # The noise follows the true latency; the measured one would favour lucky low values.
        level = _level(design, posterior)

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
    """The ceil(coverage * (n + 1))-th smallest score, or the largest when there are too few."""
    n = len(scores)
    rank = min(int(np.ceil(coverage * (n + 1))), n)
    return float(np.sort(scores)[rank - 1])


def _robust_sd(residuals: Array) -> float:
    """1.4826 median absolute deviations: the standard deviation of the well-behaved part."""
    deviations = np.abs(residuals - np.median(residuals))
    return max(1.4826 * float(np.median(deviations)), 1e-9)


def _checked(
    values: ArrayLike, features: ArrayLike | None
) -> tuple[NDArray[np.int64], Array | None]:
    options = np.asarray(values)
    if options.ndim != 2 or options.dtype.kind not in "iu":
        raise DataError(
            "values must be integers of shape (paths, positions)",
            got=f"{options.dtype} of shape {options.shape}",
        )
    if features is None:
        return options.astype(np.int64), None
    totals = np.asarray(features, dtype=np.float64)
    if totals.ndim != 2 or len(totals) != len(options):
        raise DataError(
            "features do not fit the paths",
            expected=f"shape ({len(options)}, features)",
            got=f"shape {totals.shape}",
        )
    if not np.isfinite(totals).all():
        raise DataError("features must be finite")
    return options.astype(np.int64), totals


@dataclass(frozen=True)
class _Encoding:
    """Turns paths into rows: intercept, z-scored totals, one-hot options of each choice."""

    options: tuple[NDArray[np.int64], ...]
    mean: Array | None
    deviation: Array | None

    @classmethod
    def of(cls, values: NDArray[np.int64], totals: Array | None) -> _Encoding:
        options = tuple(np.unique(column) for column in values.T)
        if totals is None:
            return cls(options, None, None)
        deviation = totals.std(axis=0)
        return cls(options, totals.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    @property
    def groups(self) -> Groups:
        """Columns that share a prior variance: (size, fixed variance or None to fit it)."""
        groups: list[tuple[int, float | None]] = [(1, INTERCEPT_VARIANCE)]
        if self.mean is not None:
            groups.append((len(self.mean), None))
        groups.append((sum(len(known) for known in self.options), None))
        return tuple(group for group in groups if group[0])

    def matrix(self, values: NDArray[np.int64], totals: Array | None) -> Array:
        if values.shape[1] != len(self.options):
            raise DataError(
                "values do not fit the model",
                expected=f"{len(self.options)} positions",
                got=values.shape[1],
            )
        expected = None if self.mean is None else len(self.mean)
        if (got := None if totals is None else totals.shape[1]) != expected:
            raise DataError(
                "features do not fit the model",
                expected=f"{expected or 'no'} features",
                got=got or "none",
            )
        blocks: list[Array] = [np.ones((len(values), 1))]
        if totals is not None and self.mean is not None and self.deviation is not None:
            blocks.append((totals - self.mean) / self.deviation)
        blocks += [
            (column[:, None] == known[None, :]).astype(np.float64)
            for column, known in zip(values.T, self.options, strict=True)
        ]
        return np.concatenate(blocks, axis=1)
