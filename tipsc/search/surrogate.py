"""Merit of every path, estimated from those that were evaluated.

Bayesian linear regression of merit on the active options, with prior variances from the
marginal likelihood (:mod:`tipsc.profile.evidence`). It is additive, so that the best path by it can
be found among any number of paths. An effect speaks for all paths that have the option: that takes
out much of the luck of one path on a few hundred images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tipsc.factors import Additive, Floats, Integers, option_numbers, unary
from tipsc.paths import Path, SearchSpace
from tipsc.profile.evidence import Posterior, fit_posterior

_LEVELS = 2  # columns: all paths, and those that were evaluated on fewer images
_LEVEL_VARIANCE = 1.0  # as for shares, which lie between 0 and 1


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A fitted model; made by :meth:`fit`."""

    space: SearchSpace
    _posterior: Posterior
    _prior: Additive | None

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        paths: Sequence[Path],
        merits: Sequence[float],
        images: Sequence[int],
        *,
        prior: Additive | None = None,
    ) -> Surrogate:
        """Fit to evaluated paths, at least three.

        Args:
            merits: of each path; higher is better.
            images: that each was evaluated on, some paths on fewer than others. The variance of
                the noise falls with them, and fewer images may be easier or harder as a whole:
                the model speaks of the most.
            prior: a utility, in any unit; by how much it counts is fitted as well.
        """
        numbers = option_numbers(space, paths)
        known = np.asarray(images, dtype=np.float64)
        fewer = (known < known.max()).astype(np.float64)[:, None]
        columns = _columns(space, numbers)
        score = np.zeros((len(paths), 0))
        if prior is not None:
            prior = prior * (1.0 / (float(prior.of_numbers(numbers).std()) or 1.0))
            score = prior.of_numbers(numbers)[:, None]
        design = np.concatenate([np.ones((len(paths), 1)), fewer, score, columns], axis=1)
        groups = (
            (_LEVELS, _LEVEL_VARIANCE),
            (score.shape[1], None),
            (columns.shape[1], None),
        )
        level = np.sqrt(known.max() / known)
        target = np.asarray(merits, dtype=np.float64)
        return cls(space, fit_posterior(design, target, level, groups), prior)

    @cached_property
    def mean(self) -> Additive:
        """The expected merit of a path."""
        return self._additive(self._posterior.mean)

    def draw(self, generator: np.random.Generator) -> Additive:
        """A merit that the evaluations allow as well: a draw of the posterior."""
        noise = generator.standard_normal(len(self._posterior.mean))
        return self._additive(self._posterior.mean + self._spread @ noise)

    @cached_property
    def _spread(self) -> Floats:
        """(p, p) a square root of the posterior's covariance."""
        covariance = self._posterior.covariance
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2.0)
        return vectors * np.sqrt(np.maximum(values, 0.0))

    def _additive(self, weights: Floats) -> Additive:
        result, rest = Additive(self.space, float(weights[0])), weights[_LEVELS:]
        if self._prior is not None:
            result, rest = result + self._prior * float(rest[0]), rest[1:]
        ends = np.cumsum([len(choice.options) for choice in self.space.choices])
        tables = np.split(rest, ends[:-1])
        effects = {c.name: t for c, t in zip(self.space.choices, tables, strict=True)}
        return result + unary(self.space, effects)


def _columns(space: SearchSpace, numbers: Integers) -> Floats:
    """(n, options of all choices) 1 where a choice is active and takes the option."""
    blocks = [
        numbers[:, [at]] == np.arange(len(choice.options))
        for at, choice in enumerate(space.choices)
    ]
    return np.concatenate(blocks, axis=1).astype(np.float64)
