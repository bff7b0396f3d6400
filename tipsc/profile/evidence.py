"""Bayesian linear regression with grouped priors, variances from the marginal likelihood.

Model: target = design @ w + noise, w ~ N(0, diag(v)) with one v per group of columns, and noise
~ N(0, (sigma * level_i)^2). With K = design diag(v) design' + sigma^2 diag(level^2), the log
evidence is -(y' K^-1 y + log|K| + n log 2 pi) / 2, its gradient is in closed form, and so are the
leave-one-out predictions (Rasmussen and Williams, 2006, sections 5.4.1 and 5.4.2). An evaluation
is O(min(n, p)^3) for n measurements and p weights.
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
NOISE_SHARES = (0.5, 0.05, 0.003)  # of the spread: where the ascent starts


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


def fit_posterior(
    design: Array,
    target: Array,
    level: Array,
    groups: Groups,
    *,
    near: Posterior | None = None,
) -> Posterior:
    """Fit the free variances and the noise, then condition on the data.

    Args:
        design: shape (n, p).
        target: shape (n,).
        level: of the noise, positive, shape (n,).
        groups: (columns, variance), in the order of the columns; a variance of None is fitted.
            A group may be empty.
        near: start from this one's variances, not from several scales: for data that changed
            little.
    """
    white, y = design / level[:, None], target / level
    turn, rows = _turned(white)
    seen = turn.T @ y
    rest = y - turn @ seen
    beyond = len(y) - len(seen)
    edges = np.cumsum([0] + [size for size, _ in groups])
    parts = [rows[:, a:b] for a, b in pairwise(edges)]
    kernels = [part @ part.T for part in parts] + [np.eye(len(seen))]
    fixed = [variance if size else 0.0 for size, variance in groups] + [None]
    free = [i for i, variance in enumerate(fixed) if variance is None]

    def variances(logs: Array) -> list[float]:
        fitted = dict(zip(free, np.exp(logs), strict=True))
        return [float(fitted[i]) if v is None else v for i, v in enumerate(fixed)]

    def evidence(logs: Array) -> tuple[float, Array]:
        value = variances(logs)
        inverse, log_determinant = _inverse(_mix(kernels, value))
        alpha = inverse @ seen
        outside = float(rest @ rest) / value[-1]
        gradient = np.array(
            [
                0.5 * value[i] * (alpha @ kernels[i] @ alpha - np.sum(inverse * kernels[i]))
                for i in free
            ]
        )
        gradient[-1] += 0.5 * (outside - beyond)
        fit = seen @ alpha + outside
        size = log_determinant + beyond * np.log(value[-1]) + 2.0 * np.log(level).sum()
        return -0.5 * (fit + size + len(y) * np.log(2 * np.pi)), gradient

    if near is None:
        starts = _starts(float(y.var()), [_mean_trace(kernels[i]) for i in free])
    else:
        earlier = (*near.variances, near.noise**2)
        starts = [np.log([earlier[i] for i in free])]
    found = [_ascend(evidence, np.clip(start, *LOG_LIMITS)) for start in starts]
    logs, best = max(found, key=lambda end: end[1])

    value = variances(logs)
    inverse, _ = _inverse(_mix(kernels, value))
    prior = np.concatenate(
        [np.full(size, v) for (size, _), v in zip(groups, value[:-1], strict=True)]
    )
    back = prior[:, None] * rows.T  # turns alpha into weights
    # Along the turned axes the inverse of K is `inverse`; beyond them it is 1 / sigma^2.
    alpha = turn @ (inverse @ seen) + rest / value[-1]
    outside = np.maximum(1.0 - np.einsum("ij,ij->i", turn, turn), 0.0) if beyond else 0.0
    precision = np.einsum("ij,ij->i", turn @ inverse, turn) + outside / value[-1]
    return Posterior(
        mean=back @ (inverse @ seen),
        covariance=np.diag(prior) - back @ inverse @ back.T,
        leave_one_out_mean=target - level * alpha / precision,
        leave_one_out_sd=level / np.sqrt(precision),
        variances=tuple(value[:-1]),
        noise=float(np.sqrt(value[-1])),
        evidence=float(best),
    )


def _turned(white: Array) -> tuple[Array, Array]:
    """Orthonormal axes (n, m) and the rows along them (m, p), m = min(n, p).

    With more measurements than weights, what the weights can reach has only p dimensions; all
    others hold noise alone, and everything below costs O(p^3) instead of O(n^3).
    """
    n, p = white.shape
    if n <= p:
        return np.eye(n), white
    axes, rows = np.linalg.qr(white)
    return axes, rows


def _starts(spread: float, traces: list[float]) -> list[Array]:
    """Log variances at which every group explains all of the spread, and the noise a share."""
    scale = max(spread, 1e-6) / np.array(traces)
    return [np.log(scale * ([1.0] * (len(traces) - 1) + [noise])) for noise in NOISE_SHARES]


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
