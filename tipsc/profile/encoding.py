"""Paths as rows of numbers: totals, options of each choice, and how often each option occurs.

The counts need no knowledge of the space. Where several choices have the same options (a kernel
size a block, an operation an edge), an option tends to cost alike in all of them; a column that
counts it over those choices lets one measurement speak for all, and the one-hot columns say where
a choice differs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipsc.errors import DataError
from tipsc.profile.evidence import Groups

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

INTERCEPT_VARIANCE = 1.0  # latency / median = 1 + c: c is of the order of one at most
ALIKE = 0.5  # two choices count together if more than this share of their options is common
CONSTANT = 1e-9  # a feature that varies by less than this share of its size does not vary


@dataclass(frozen=True)
class Encoding:
    """How paths become rows; made from the paths that were measured.

    Attributes:
        options: known options of each choice, ascending.
        counted: (choices, options) of each set of choices that are counted together.
        mean, deviation: of each feature, shape (f,); f is 0 if there are none.
    """

    options: tuple[Ints, ...]
    counted: tuple[tuple[tuple[int, ...], Ints], ...]
    mean: Array
    deviation: Array

    @classmethod
    def of(cls, values: Ints, features: Array, known: Ints | None = None) -> Encoding:
        """The encoding of measured paths.

        Args:
            values: options, shape (n, positions).
            features: shape (n, f).
            known: more paths, measured or not, that tell which options a choice has.
        """
        options = tuple(np.unique(column) for column in values.T)
        every = options if known is None else tuple(np.unique(column) for column in known.T)
        counted = [(c, np.unique(values[:, c])) for c in _alike(every) if len(c) > 1]
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        varies = deviation > CONSTANT * np.abs(features).max(axis=0, initial=0.0)
        return cls(options, tuple(counted), mean, np.where(varies, deviation, np.inf))

    @property
    def groups(self) -> Groups:
        """Columns that share a prior variance: (size, fixed variance or None to fit it)."""
        return (
            (1, INTERCEPT_VARIANCE),
            (len(self.mean), None),
            (sum(len(known) for _, known in self.counted), None),
            (sum(len(known) for known in self.options), None),
        )

    def matrix(self, values: Ints, features: Array) -> Array:
        """Rows, shape (m, p): one, z-scored features, counts, one-hot options."""
        self._check(values, features)
        blocks: list[Array] = [np.ones((len(values), 1)), (features - self.mean) / self.deviation]
        blocks += [
            (values[:, choices, None] == known).sum(axis=1, dtype=np.float64)
            for choices, known in self.counted
        ]
        blocks += [
            (column[:, None] == known).astype(np.float64)
            for column, known in zip(values.T, self.options, strict=True)
        ]
        return np.concatenate(blocks, axis=1)

    def unseen(self, values: Ints) -> Array:
        """How many columns each path lacks because they were never measured, shape (m, groups).

        Each stands for a weight of which nothing but its prior is known. An option that is new to
        several counted choices is one new weight, taken as often as it occurs.
        """
        missing = np.zeros((len(values), len(self.groups)))
        for choices, known in self.counted:
            new = ~np.isin(values[:, choices], known)
            rows = np.flatnonzero(new.any(axis=1))  # few, as a rule
            taken = values[rows][:, choices]
            # k times the same unknown weight has k^2 times its variance.
            same = taken[:, :, None] == taken[:, None, :]
            missing[rows, 2] += (same & new[rows][:, :, None]).sum(axis=(1, 2))
        for column, known in zip(values.T, self.options, strict=True):
            missing[:, 3] += ~np.isin(column, known)
        return missing

    def tables(self, weights: Array) -> tuple[float, Array, tuple[dict[int, float], ...]]:
        """The weights of the columns as constant, weight of each raw feature, option effects."""
        edges = np.cumsum([size for size, _ in self.groups])
        constant, scaled, counts, own = np.split(weights, edges[:-1])
        raw = scaled / self.deviation
        effects: list[dict[int, float]] = [{} for _ in self.options]
        for choices, known in self.counted:
            shared, counts = counts[: len(known)], counts[len(known) :]
            for choice in choices:
                effects[choice] = dict(zip(known.tolist(), shared.tolist(), strict=True))
        for effect, known in zip(effects, self.options, strict=True):
            mine, own = own[: len(known)], own[len(known) :]
            for option, value in zip(known.tolist(), mine.tolist(), strict=True):
                effect[option] = effect.get(option, 0.0) + value
        return float(constant[0] - self.mean @ raw), raw, tuple(effects)

    def _check(self, values: Ints, features: Array) -> None:
        if values.shape[1] != len(self.options):
            raise DataError(
                "values do not fit the model",
                expected=f"{len(self.options)} positions",
                got=values.shape[1],
            )
        if features.shape[1] != len(self.mean):
            raise DataError(
                "features do not fit the model",
                expected=f"{len(self.mean) or 'no'} features",
                got=features.shape[1] or "none",
            )


def checked(values: ArrayLike, features: ArrayLike | None) -> tuple[Ints, Array]:
    """Options, shape (n, positions), and features, shape (n, f), f = 0 for None.

    Raises:
        DataError: a shape or type is wrong, or a feature is not finite.
    """
    options = np.asarray(values)
    whole = options.dtype.kind in "iub" or (
        options.dtype.kind == "f" and bool((options == np.trunc(options)).all())
    )
    if options.ndim != 2 or not whole:
        raise DataError(
            "values must be integers of shape (paths, positions)",
            got=f"{options.dtype} of shape {options.shape}",
        )
    if features is None:
        return options.astype(np.int64), np.zeros((len(options), 0))
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


def _alike(options: tuple[Ints, ...]) -> list[tuple[int, ...]]:
    """Sets of choices with nearly the same options: the components of that relation.

    Nearly, because few measurements do not show every option of every choice. A choice with one
    option has no effect to share.
    """
    sets: list[tuple[int, ...]] = []
    left = [choice for choice, known in enumerate(options) if len(known) > 1]
    while left:
        found, frontier = [], [left.pop(0)]
        while frontier:
            choice = frontier.pop()
            found.append(choice)
            near = [other for other in left if _overlap(options[choice], options[other]) > ALIKE]
            left = [other for other in left if other not in near]
            frontier += near
        sets.append(tuple(sorted(found)))
    return sets


def _overlap(one: Ints, other: Ints) -> float:
    """Common options over all options of two choices (Jaccard index)."""
    return len(np.intersect1d(one, other)) / len(np.union1d(one, other))
