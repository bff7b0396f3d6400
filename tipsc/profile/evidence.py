"""Bayesian linear regression with grouped priors, variances from the marginal likelihood.

Model: target = design @ w + noise, w ~ N(0, diag(v)) with one v per group of columns, and noise
~ N(0, (sigma * level_i)^2). With K = design diag(v) design' + sigma^2 diag(level^2), the log
evidence is -(y' K^-1 y + log|K| + n log 2 pi) / 2, its gradient is in closed form, and so are the
leave-one-out predictions (Rasmussen and Williams, 2006, sections 5.4.1 and 5.4.2). Everything is
O(n^3) for n measurements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Groups = tuple[tuple[int, float | None], ...]

Objective = Callable[[Array], tuple[float, Array]]

LOG_LIMITS = (-18.0, 4.0)  # of log variances: from 1e-8 to 50, relative to the median latency
MAX_STEPS = 100


@dataclass(frozen=True)
class Posterior:
    """What the data say about the weights.

    Attributes:
        mean: of the weights, shape (p,).
        covariance: of the weights, shape (p, p).
        leave_one_out_mean: prediction of target i without it, shape (n,).
        leave_one_out_sd: standard deviation of that prediction, noise included, shape (n,).
        variances: of each group, in order.
        noise: sigma.
        evidence: log marginal likelihood.
    """

    mean: Array
    covariance: Array
    leave_one_out_mean: Array
    leave_one_out_sd: Array
    variances: tuple[float, ...]
    noise: float
    evidence: float


def fit_posterior(design: Array, target: Array, level: Array, groups: Groups) -> Posterior:
    """Fit the free variances and the noise, then condition on the data.

    Args:
        design: shape (n, p).
        target: shape (n,).
        level: of the noise, positive, shape (n,).
        groups: (columns, variance), in the order of the columns; a variance of None is fitted.
    """
    edges = np.cumsum([0] + [size for size, _ in groups])
    parts = [design[:, a:b] for a, b in pairwise(edges)]
    kernels = [part @ part.T for part in parts] + [np.diag(level**2)]
    fixed = [variance for _, variance in groups] + [None]
    free = [i for i, variance in enumerate(fixed) if variance is None]

    def variances(logs: Array) -> list[float]:
        fitted = dict(zip(free, np.exp(logs), strict=True))
        return [float(fitted[i]) if v is None else v for i, v in enumerate(fixed)]

    def evidence(logs: Array) -> tuple[float, Array]:
        value = variances(logs)
        inverse, log_determinant = _inverse(_mix(kernels, value))
        alpha = inverse @ target
        gradient = np.array(
            [
                0.5 * value[i] * (alpha @ kernels[i] @ alpha - np.sum(inverse * kernels[i]))
                for i in free
            ]
        )
        n = len(target)
        fit = target @ alpha
        return -0.5 * (fit + log_determinant + n * np.log(2 * np.pi)), gradient

    # Traces of the kernels put every group on the scale on which it explains one unit of variance.
    spread = max(float(target.var()), 1e-6)
    starts = []
    for noise_share in (0.5, 0.05, 0.003):
        shares = [noise_share if i == len(groups) else 1.0 for i in free]
        traces = [_mean_trace(kernels[i]) for i in free]
        start = np.log(spread * np.array(shares) / np.array(traces))
        starts.append(_ascend(evidence, np.clip(start, *LOG_LIMITS)))
    logs, best = max(starts, key=lambda found: found[1])
    value = variances(logs)
    inverse, _ = _inverse(_mix(kernels, value))
    alpha = inverse @ target
    prior = np.concatenate(
        [np.full(size, v) for (size, _), v in zip(groups, value[:-1], strict=True)]
    )
    back = prior[:, None] * design.T  # (p, n): turns alpha into weights
    precision = np.diag(inverse)
    return Posterior(
        mean=back @ alpha,
        covariance=np.diag(prior) - back @ inverse @ back.T,
        leave_one_out_mean=target - alpha / precision,
        leave_one_out_sd=1.0 / np.sqrt(precision),
        variances=tuple(value[:-1]),
        noise=float(np.sqrt(value[-1])),
        evidence=float(best),
    )


def _mean_trace(kernel: Array) -> float:
    return max(float(np.trace(kernel)) / len(kernel), 1e-12)


def _mix(kernels: list[Array], variances: list[float]) -> Array:
    return np.add.reduce([v * k for v, k in zip(variances, kernels, strict=True)])


def _inverse(matrix: Array) -> tuple[Array, float]:
    """Inverse and log determinant of a symmetric positive definite matrix."""
    jitter = 1e-10 * np.trace(matrix) / len(matrix)
    factor = np.linalg.cholesky(matrix + jitter * np.eye(len(matrix)))
    half = np.linalg.inv(factor)
    return half.T @ half, 2.0 * float(np.log(np.diag(factor)).sum())


def _ascend(function: Objective, start: Array) -> tuple[Array, float]:
    """Maximise by BFGS with backtracking inside the box LOG_LIMITS; there are few variables."""
    point = np.asarray(start, dtype=np.float64)
    value, gradient = function(point)
    metric = np.eye(len(point))
    for _ in range(MAX_STEPS):
        step = metric @ gradient
        if step @ gradient <= 0:
            metric, step = np.eye(len(point)), gradient
        step = step / max(1.0, float(np.abs(step).max()) / 2.0)  # at most e^2 a step
        rate = 1.0
        while rate > 1e-6:
            candidate = np.clip(point + rate * step, *LOG_LIMITS)
            new_value, new_gradient = function(candidate)
            if new_value >= value + 1e-4 * gradient @ (candidate - point):
                break
            rate /= 2
        else:
            break
        moved, turned = candidate - point, gradient - new_gradient
        gained = new_value - value
        point, value, gradient = candidate, new_value, new_gradient
        curvature = float(moved @ turned)
        if curvature > 1e-12:
            left = np.eye(len(point)) - np.outer(moved, turned) / curvature
            metric = left @ metric @ left.T + np.outer(moved, moved) / curvature
        if gained < 1e-6:
            break
    return point, value
