"""Predict the latency of paths that were not measured, from about fifty that were.

The structural additive model::

    latency(x) = s * [1 + c + g(x)'a + sum_j beta(j, x_j)]

with s the median measured latency, g whole-path totals (MACs, parameters, launches, ...; z-scored)
and beta(j, o) the deviation of option o of choice j. Each group has a Gaussian prior whose variance
comes from the marginal likelihood (type-II maximum likelihood), in closed form but for a few
scalars. Noise grows in proportion to the latency. A measurement whose leave-one-out residual lies
above five robust standard deviations is flagged, and weighs less from then on.

Intervals are jackknife+ (Barber, Candes, Ramdas and Tibshirani, 2021) on relative residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipsc.errors import DataError
from tipsc.profile.evidence import Groups, Posterior, fit_posterior

Array = NDArray[np.float64]

OUTLIER_SDS = 5.0
REWEIGHTINGS = 4
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
    _measured: Array
    _posterior: Posterior

    def predict(self, values: ArrayLike, features: ArrayLike | None = None) -> Prediction:
        """Predict paths.

        Args:
            values: options, integers of shape (m, positions). An option that was never measured
                counts as an average one.
            features: whole-path totals, shape (m, f); needed exactly if the fit had them.
        """
        design = self._encoding.matrix(*_checked(values, features))
        mean = self._scale * (1.0 + design @ self._posterior.mean)
        others = self._scale * (1.0 + design @ self._posterior.leave_one_out_means.T)  # (m, n)
        spread = np.abs(self.leave_one_out) * self._measured / self._predicted_without
        low = np.sort(others * (1.0 - spread), axis=1)
        high = np.sort(others * (1.0 + spread), axis=1)
        n = len(self._measured)
        rank = min(int(np.ceil(self.coverage * (n + 1))), n)
        floor = self._smallest
        return Prediction(
            np.maximum(mean, floor),
            np.clip(low[:, n - rank], 0.0, None),
            np.maximum(high[:, rank - 1], floor),
        )

    @property
    def _predicted_without(self) -> Array:
        return np.maximum(self._measured * (1.0 + self.leave_one_out), self._smallest)

    @property
    def _smallest(self) -> float:
        """No prediction falls below a tenth of what was ever measured: latencies are positive."""
        return 0.1 * float(self._measured.min())


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

    inflation = np.ones(len(measured))  # of the noise's standard deviation, for outliers
    level = np.clip(measured / scale, 0.1, None)
    for _ in range(REWEIGHTINGS):
        posterior = fit_posterior(design, target, level * inflation, groups)
        z = posterior.leave_one_out_z * inflation  # back to the scale of good measurements
        distance = np.abs(z) / _robust_sd(z)
        inflation = np.where(distance > OUTLIER_SDS, np.maximum(distance, 1.0), 1.0)
        # The noise follows the true latency; the measured one would favour lucky low values.
        level = np.clip(1.0 + design @ posterior.mean, 0.1, None)

    predicted = scale * (1.0 + posterior.leave_one_out_mean)
    return Predictor(
        leave_one_out=predicted / measured - 1.0,
        outliers=tuple(int(i) for i in np.flatnonzero(distance > OUTLIER_SDS)),
        coverage=coverage,
        _encoding=encoding,
        _scale=scale,
        _measured=measured,
        _posterior=posterior,
    )


def _robust_sd(z: Array) -> float:
    """1.4826 median absolute deviations: the standard deviation of the well-behaved part."""
    return max(1.4826 * float(np.median(np.abs(z - np.median(z)))), 1e-9)


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
        columns: Sequence[NDArray[np.int64]] = values.T
        blocks += [
            (column[:, None] == known[None, :]).astype(np.float64)
            for column, known in zip(columns, self.options, strict=True)
        ]
        return np.concatenate(blocks, axis=1)
