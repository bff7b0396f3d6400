"""Small graphs on which everything can be enumerated, and how well draws fit a distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chisquare

from tipsc.dtmc.dag import Dag
from tipsc.dtmc.synthetic import random_dag
from tipsc.dtmc.walk_chain import EdgeWeights


def random_weights(generator: np.random.Generator, nodes: int = 7) -> EdgeWeights:
    dag = random_dag(generator, nodes)
    edges = len(dag.tail)
    cost, utility, base = generator.normal(0, 1, (3, edges))
    if generator.random() < 0.3:
        cost = np.round(cost)  # ties
    return EdgeWeights(dag, cost, utility, base)


def all_walks(dag: Dag) -> list[tuple[int, ...]]:
    leaving: dict[int, list[int]] = {}
    for edge, tail in enumerate(dag.tail.tolist()):
        leaving.setdefault(tail, []).append(edge)

    def onward(node: int) -> list[tuple[int, ...]]:
        if node == dag.output:
            return [()]
        return [(e, *rest) for e in leaving[node] for rest in onward(int(dag.head[e]))]

    return onward(0)


class Enumerated:
    """The distribution over walks from its definition, term by term."""

    def __init__(self, weights: EdgeWeights, mu: float, eta: float) -> None:
        self.walks = all_walks(weights.dag)
        edges = len(weights.dag.tail)
        self.counts = np.zeros((len(self.walks), edges))
        for row, walk in zip(self.counts, self.walks, strict=True):
            row[list(walk)] = 1.0
        log_weight = weights.log_base + eta * weights.utility - mu * weights.cost
        weight = np.exp(self.counts @ log_weight)
        self.z = weight.sum()
        self.probability = weight / self.z
        self.cost = self.counts @ weights.cost
        self.utility = self.counts @ weights.utility

    def mean(self, values: np.ndarray) -> float:
        return float(self.probability @ values)

    def covariance(self, one: np.ndarray, two: np.ndarray) -> float:
        return self.mean((one - self.mean(one)) * (two - self.mean(two)))


def fit_of_draws(seen: Mapping[Any, int], outcomes: Sequence[Any], probability: ArrayLike) -> float:
    """The p-value of a chi-squared test of counts against probabilities.

    Outcomes expected less than five times (the usual condition of the test) are one class. An
    outcome that was drawn and cannot be gives 0.
    """
    chances = np.asarray(probability, dtype=np.float64)
    observed = np.array([seen.get(outcome, 0) for outcome in outcomes])
    draws = sum(seen.values())
    if observed.sum() < draws or observed[chances == 0].any():
        return 0.0
    expected = draws * chances
    often = expected >= 5
    theory = np.append(expected[often], expected[~often].sum())
    counts = np.append(observed[often], observed[~often].sum())
    if theory[-1] < 5:  # too few even together: they join the last class
        theory = np.append(theory[:-2], theory[-2:].sum())
        counts = np.append(counts[:-2], counts[-2:].sum())
    if len(theory) == 1:
        return 1.0
    return float(chisquare(counts, theory * counts.sum() / theory.sum()).pvalue)
