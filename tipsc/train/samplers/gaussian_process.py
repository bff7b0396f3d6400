"""Regression with a Gaussian process, small enough to be fitted while a supernet trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_NOISES = (1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class GaussianProcess:
    """A posterior; make it with :func:`fit`.

    Args:
        inputs: (n, d).
        length: of the kernel.
        factor: (n, n) lower Cholesky factor of kernel plus noise.
        weights: (n,) inverse of that matrix times the standardised values.
        mean, scale: of the values.
        variance: of the signal, of the standardised values.
    """

    inputs: Floats
    length: float
    factor: Floats
    weights: Floats
    mean: float
    scale: float
    variance: float

    def predict(self, inputs: Floats) -> tuple[Floats, Floats]:
        """(m,) mean and standard deviation of the function, without noise, at `inputs` (m, d)."""
        from scipy.linalg import solve_triangular

        cross = matern(inputs, self.inputs, self.length)
        explained = solve_triangular(self.factor, cross.T, lower=True)
        variance = self.variance * np.maximum(1.0 - (explained**2).sum(axis=0), 0.0)
        return self.mean + self.scale * (cross @ self.weights), self.scale * np.sqrt(variance)


def fit(inputs: Floats, values: Floats) -> GaussianProcess:
    """Kernel length and noise by the marginal likelihood on a grid (Rasmussen, Williams, eq. 5.8).

    Args:
        inputs: (n, d), each column between 0 and 1.
        values: (n,), n at least 2.
    """
    mean, scale = float(values.mean()), float(values.std()) or 1.0
    standard = (values - mean) / scale
    best: tuple[float, GaussianProcess] | None = None
    for length in _LENGTHS:
        kernel = matern(inputs, inputs, length * np.sqrt(inputs.shape[1]))
        for noise in _NOISES:
            noisy = kernel + noise * np.eye(len(values))
            factor = np.linalg.cholesky(noisy).astype(np.float64, copy=False)
            weights = np.linalg.solve(factor.T, np.linalg.solve(factor, standard))
            variance = max(float(standard @ weights) / len(values), 1e-12)
            evidence = -0.5 * len(values) * np.log(variance) - np.log(np.diag(factor)).sum()
            if best is None or evidence > best[0]:
                length_in = float(length * np.sqrt(inputs.shape[1]))
                found = GaussianProcess(inputs, length_in, factor, weights, mean, scale, variance)
                best = float(evidence), found
    assert best is not None
    return best[1]


def matern(first: Floats, second: Floats, length: float) -> Floats:
    """(n, m) Matern kernel with smoothness 5/2 (eq. 4.17)."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2.0 * first @ second.T
    scaled = np.sqrt(5.0 * np.maximum(squares, 0.0)) / length
    kernel: Floats = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    return kernel
