"""Which paths to measure: some that span the space, the rest at random.

Greedy D-optimal design picks the paths that shrink the volume of the additive model's uncertainty
most; alone it would only see extremes, so random paths are mixed in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipsc.errors import DataError

Array = NDArray[np.float64]

OPTIMAL_SHARE = 0.6
RIDGE = 1e-2  # the prior precision of a weight: keeps the first picks defined


def choose_measured(
    values: ArrayLike,
    n: int,
    *,
    features: ArrayLike | None = None,
    seed: int = 0,
    n_optimal: int | None = None,
) -> tuple[int, ...]:
    """Choose `n` of the candidate paths to measure.

    Args:
        values: options of the candidates, integers of shape (candidates, positions).
        n: how many to choose, at most as many as there are candidates.
        features: whole-path totals of the candidates, shape (candidates, f).
        seed: of the random part and of ties; equal seeds give equal choices.
        n_optimal: how many by D-optimality; 60 % of `n` if not given.

    Returns:
        Distinct row numbers: the D-optimal ones first, in the order in which they were picked.

    Raises:
        DataError: `n` or `n_optimal` is not possible, or shapes do not agree.
    """
    options = np.asarray(values)
    if options.ndim != 2:
        raise DataError(
            "values must have the shape (candidates, positions)", got=f"shape {options.shape}"
        )
    if not 0 <= n <= len(options):
        raise DataError(
            "cannot choose so many paths", expected=f"0 to {len(options)} candidates", got=n
        )
    n_optimal = round(OPTIMAL_SHARE * n) if n_optimal is None else n_optimal
    if not 0 <= n_optimal <= n:
        raise DataError("n_optimal is not possible", expected=f"0 to {n}", got=n_optimal)
    generator = np.random.default_rng(seed)
    optimal = _d_optimal(_rows(options, features), n_optimal, generator)
    rest = np.setdiff1d(np.arange(len(options)), optimal)
    drawn = generator.choice(rest, n - n_optimal, replace=False)
    return tuple(int(i) for i in (*optimal, *drawn))


def _rows(options: NDArray[np.int64], features: ArrayLike | None) -> Array:
    """Intercept, one-hot options and z-scored features of each candidate."""
    blocks = [np.ones((len(options), 1))]
    blocks += [(column[:, None] == np.unique(column)).astype(np.float64) for column in options.T]
    if features is not None:
        totals = np.asarray(features, dtype=np.float64)
        if totals.ndim != 2 or len(totals) != len(options):
            raise DataError(
                "features do not fit the candidates",
                expected=f"shape ({len(options)}, features)",
                got=f"shape {totals.shape}",
            )
        deviation = totals.std(axis=0)
        blocks.append((totals - totals.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0))
    return np.concatenate(blocks, axis=1)


def _d_optimal(rows: Array, n: int, generator: np.random.Generator) -> list[int]:
    """Greedy: each pick has the largest leverage x' M^-1 x; M^-1 by rank-one updates."""
    inverse = np.eye(rows.shape[1]) / RIDGE
    leverage = np.einsum("ij,ij->i", rows, rows) / RIDGE
    picked: list[int] = []
    for _ in range(n):
        best = leverage.max()
        ties = np.flatnonzero(leverage >= best - 1e-9 * abs(best))
        chosen = int(generator.choice(ties))
        picked.append(chosen)
        direction = inverse @ rows[chosen]
        gain = 1.0 + float(rows[chosen] @ direction)
        leverage -= (rows @ direction) ** 2 / gain
        leverage[picked] = -np.inf  # each path once
        inverse -= np.outer(direction, direction) / gain
    return picked
