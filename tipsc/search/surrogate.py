"""Accuracy of every path, estimated from those that were evaluated.

Bayesian linear regression of accuracy on the active options (and optionally on pairs of choices
that follow each other), with prior variances from the marginal likelihood
(:mod:`tipsc.profile.evidence`). It is additive, so that the chain can be folded with it and the best
path by it be found among any number of paths. An effect speaks for all paths that have the option:
that takes out much of the luck of one path on a few hundred images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tipsc.factors import Additive, Factor, Floats, Integers, option_numbers
from tipsc.paths import Path, SearchSpace
from tipsc.profile.evidence import Posterior, fit_posterior

_INTERCEPT_VARIANCE = 1.0  # accuracies lie between 0 and 1


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A fitted model; made by :meth:`fit`."""

    space: SearchSpace
    posterior: Posterior
    _prior: Additive | None

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        paths: Sequence[Path],
        accuracies: Sequence[float],
        images: Sequence[int],
        *,
        prior: Additive | None = None,
    ) -> Surrogate:
        """Fit to evaluated paths.

        Args:
            accuracies: of each path, 0..1.
            images: that each was evaluated on: the variance of the noise falls with them.
            prior: a utility, in any unit; by how much it counts is fitted as well.
        """
        numbers = option_numbers(space, paths)
        known = np.asarray(images, dtype=np.float64)
        level = np.sqrt(known.max() / known)
        columns = _columns(space, numbers)
        score = np.zeros((len(paths), 0)) if prior is None else _score(prior, numbers)
        design = np.concatenate([np.ones((len(paths), 1)), score, columns], axis=1)
        groups = ((1, _INTERCEPT_VARIANCE), (score.shape[1], None), (columns.shape[1], None))
        return cls(space, fit_posterior(design, np.asarray(accuracies), level, groups), prior)

    @property
    def mean(self) -> Additive:
        """The expected accuracy of a path."""
        return self._additive(self.posterior.mean)

    def draw(self, generator: np.random.Generator) -> Additive:
        """An accuracy that the evaluations allow as well: a draw of the posterior."""
        covariance = self.posterior.covariance
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        noise = generator.standard_normal(len(values)) * np.sqrt(np.maximum(values, 0.0))
        return self._additive(self.posterior.mean + vectors @ noise)

    def _additive(self, weights: Floats) -> Additive:
        rest = weights[1:]
        result = Additive(self.space, float(weights[0]))
        if self._prior is not None:
            result, rest = result + self._prior * float(rest[0]), rest[1:]
        factors = []
        for choice in self.space.choices:
            count = len(choice.options)
            factors.append(Factor((choice.name,), rest[:count]))
            rest = rest[count:]
        return result + Additive(self.space, 0.0, tuple(factors))


def _columns(space: SearchSpace, numbers: Integers) -> Floats:
    """(n, options of all choices) 1 where a choice is active and takes the option."""
    blocks = [
        (numbers[:, [at]] == np.arange(len(choice.options))) for at, choice in enumerate(space.choices)
    ]
    return np.concatenate(blocks, axis=1).astype(np.float64)


def _score(prior: Additive, numbers: Integers) -> Floats:
    return prior.of_numbers(numbers)[:, None]
