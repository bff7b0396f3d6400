"""What each option is worth, learned from the losses that training computes anyway.

Each path that is trained gives one observation: how much lower its loss is than a baseline, as a
sum of effects of its active options (Bayesian linear regression with an unknown noise variance;
normal-inverse-gamma prior; Bishop, Pattern Recognition and Machine Learning, section 3.3).

* The **baseline** takes the progress of training out of the losses: the largest path's loss on the
  same batch where that path runs, otherwise the running mean of all losses. Each of the two has
  an intercept of its own, so that training may change from one to the other.
* **Forgetting** is exponential: an observation t observations ago weighs exp(-t / memory). Only
  observations are forgotten, never the prior, so that an option which is not drawn for long
  returns to the prior instead of to an unbounded variance.
* The **prior mean** of the effects is proportional to scores given for them (TAS). By how much is
  learned as well: the scores of a path are one more regressor.

What is kept are the weighted sums of x x', x y and y^2: an update is O(p^2) and cannot become
unstable, whatever is forgotten. One Cholesky factorisation, O(p^3), solves them when a result is
asked for; recursive least squares in covariance form would spare that and need a square-root form
to stay positive definite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tipsc.errors import DataError
from tipsc.factors import Additive, Factor
from tipsc.paths import Choice, Path, SearchSpace

Floats = NDArray[np.float64]
_INTERCEPTS = 2
_FLAT = 1e-4  # prior precision of intercepts: next to none
_SCORE = 0.1  # prior precision of the score's factor
_PRIOR_COUNT = 2.0  # observations that the prior noise variance is worth
_PRIOR_VARIANCE = 0.01  # of a mini-batch's loss, in nats squared


@dataclass(frozen=True)
class Effects:
    """What options are worth, in units of the loss; higher is better.

    Attributes:
        mean: for each choice (options,): over its smallest option, all other choices as small as
            they can be. What an option switches on counts with it, at its smallest. A path's
            utility over the smallest path's is the sum over its active choices, plus pairs.
        deviation: likewise the posterior standard deviations; 0 for the smallest option.
        pairs: (first choice, second choice) -> (options, options): what two options that are
            active together are worth beyond their own effects. Empty without interactions; with
            them, only the sum of both has a meaning.
    """

    mean: tuple[Floats, ...]
    deviation: tuple[Floats, ...]
    pairs: Mapping[tuple[int, int], Floats]


class Utility:
    """Learns the effects of a space's options.

    Args:
        space: the search space.
        memory: observations after which one weighs 1/e; infinite to forget nothing.
        scores: for each choice, for each option: a prior score, in any unit; None for none.
        interactions: also effects of pairs of options of choices that follow each other.
        precision: of the prior of each effect, in units of 1 / noise variance; above 0.
        window: observations that the running mean of the losses is taken over.

    Raises:
        DataError: an argument out of its range, or scores of other options.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        memory: float = 2000.0,
        scores: Sequence[Sequence[float]] | None = None,
        interactions: bool = False,
        precision: float = 1.0,
        window: float = 50.0,
    ) -> None:
        if not (memory > 1 and precision > 0 and window >= 1):
            raise DataError(
                "these are no settings of a learned utility",
                expected="memory > 1, precision > 0, window >= 1",
                got=f"{memory}, {precision}, {window}",
            )
        self.space, self.memory, self.window = space, memory, window
        self._firsts: list[int] = []
        count = _INTERCEPTS
        for choice in space.choices:
            self._firsts.append(count)
            count += len(choice.options)
        self._pairs: dict[tuple[int, int], int] = {}
        choices = space.choices
        for i in range(len(choices) - 1) if interactions else ():
            self._pairs[i, i + 1] = count
            count += len(choices[i].options) * len(choices[i + 1].options)
        self._scores = _standard(scores, choices) if scores is not None else None
        prior = np.full(count + 1, precision)
        prior[:_INTERCEPTS] = _FLAT
        prior[-1] = _SCORE  # without scores its regressor is zero
        self._prior = prior
        self._products = np.zeros((count + 1, count + 1))
        self._moments = np.zeros(count + 1)
        self._squares = self._count = 0.0
        self._mean = math.nan  # running mean of the losses

    def observe(self, losses: Sequence[tuple[Path, float]]) -> None:
        """The paths of a step with their losses on its one mini-batch, against the labels."""
        largest = self.space.largest
        reference = next((loss for path, loss in losses if path == largest), None)
        for path, loss in losses:
            if reference is None:
                if self._mean == self._mean:
                    self._add(self._regressors(path, 0), self._mean - loss)
                    self._mean += (loss - self._mean) / self.window
                else:
                    self._mean = loss
            elif path != largest:
                self._add(self._regressors(path, 1), reference - loss)
        if reference is not None:
            self._mean = math.nan  # stale when single paths are trained again

    def effects(self) -> Effects:
        """What is known now."""
        factor, mean, variance = self._posterior()

        zero = self._regressors(self.space.smallest, 0)
        own = np.ones(len(mean))
        for (i, j), first in self._pairs.items():
            choices = self.space.choices
            own[first : first + len(choices[i].options) * len(choices[j].options)] = 0.0

        def single(choice: Choice, option: int) -> Floats:
            return own * self._regressors(self.space.smallest_with({choice.name: option}), 0)

        means, deviations = [], []
        for choice in self.space.choices:
            smallest = single(choice, choice.smallest)
            contrasts = np.array([single(choice, option) - smallest for option in choice.options])
            means.append(contrasts @ mean)
            deviations.append(_deviation(contrasts, factor, variance))
        pairs = {}
        for (i, j), first in self._pairs.items():
            shape = tuple(len(self.space.choices[k].options) for k in (i, j))
            table = mean[first : first + shape[0] * shape[1]].reshape(shape)
            pairs[i, j] = table - table[0, 0] * zero[first]
        return Effects(tuple(means), tuple(deviations), pairs)

    def additive(self) -> Additive:
        """The utility as the cost-folded chain takes it; 0 for the smallest path."""
        found, choices = self.effects(), self.space.choices
        names = [choice.name for choice in choices]
        own = (Factor((name,), row) for name, row in zip(names, found.mean, strict=True))
        pairs = (Factor((names[i], names[j]), table) for (i, j), table in found.pairs.items())
        return Additive(self.space, 0.0, (*own, *pairs))

    @property
    def is_informed(self) -> bool:
        """Whether there was any observation."""
        return self._count > 0

    def predict(self, paths: Sequence[Path]) -> tuple[Floats, Floats]:
        """(n,) utility of paths over the smallest path's, and its standard deviation.

        The deviation is that of the expected utility, the noise of a batch not included.
        """
        factor, mean, variance = self._posterior()
        zero = self._regressors(self.space.smallest, 0)
        contrasts = np.array([self._regressors(path, 0) - zero for path in paths])
        return contrasts @ mean, _deviation(contrasts, factor, variance)

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {
            "products": torch.from_numpy(self._products.copy()),
            "moments": torch.from_numpy(self._moments.copy()),
            "scalars": torch.tensor([self._squares, self._count, self._mean], dtype=torch.float64),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        self._products = state["products"].numpy().copy()
        self._moments = state["moments"].numpy().copy()
        self._squares, self._count, self._mean = state["scalars"].tolist()

    def _add(self, regressors: Floats, value: float) -> None:
        keep = math.exp(-1.0 / self.memory)
        self._products *= keep
        active = np.flatnonzero(regressors)
        values = regressors[active]
        self._products[np.ix_(active, active)] += np.outer(values, values)
        self._moments *= keep
        self._moments[active] += values * value
        self._squares = keep * self._squares + value**2
        self._count = keep * self._count + 1.0

    def _regressors(self, path: Path, baseline: int) -> Floats:
        """(p,) intercepts, options, pairs of options, score."""
        found = np.zeros(len(self._prior))
        found[baseline] = 1.0
        choices, options = self.space.choices, path.options
        places: list[int | None] = []
        for choice, first in zip(choices, self._firsts, strict=True):
            place = None
            if choice.gate is None or self.space.is_active(choice.name, options):
                place = choice.options.index(options[choice.name])
                found[first + place] = 1.0
            places.append(place)
        for (i, j), first in self._pairs.items():
            one, other = places[i], places[j]
            if one is not None and other is not None:
                found[first + one * len(choices[j].options) + other] = 1.0
        if self._scores is not None:
            found[-1] = sum(
                row[place]
                for row, place in zip(self._scores, places, strict=True)
                if place is not None
            )
        return found

    def _posterior(self) -> tuple[Floats, Floats, float]:
        """Cholesky factor of the precision, mean, and noise variance.

        The prior mean is zero: the score carries what is expected beforehand.
        """
        precision = self._products + np.diag(self._prior)
        factor = np.linalg.cholesky(precision).astype(np.float64, copy=False)
        half = np.linalg.solve(factor, self._moments)
        mean = np.linalg.solve(factor.T, half)
        rest = max(self._squares - float(half @ half), 0.0)
        variance = (rest + _PRIOR_COUNT * _PRIOR_VARIANCE) / (self._count + _PRIOR_COUNT)
        return factor, mean, variance


def _deviation(contrasts: Floats, factor: Floats, variance: float) -> Floats:
    spread = np.linalg.solve(factor, contrasts.T)
    deviation: Floats = np.sqrt(variance * (spread**2).sum(axis=0))
    return deviation


def _standard(
    scores: Sequence[Sequence[float]], choices: Sequence[Choice]
) -> tuple[tuple[float, ...], ...]:
    """Scores with a root mean square of one within choices."""
    if [len(row) for row in scores] != [len(choice.options) for choice in choices]:
        raise DataError(
            "there must be a score for each option of each choice",
            expected=[len(choice.options) for choice in choices],
            got=[len(row) for row in scores],
        )
    centred = [np.asarray(row, float) - float(np.mean(row)) for row in scores]
    size = math.sqrt(float(np.mean(np.concatenate(centred) ** 2))) or 1.0
    return tuple(tuple((np.asarray(row, float) / size).tolist()) for row in scores)
