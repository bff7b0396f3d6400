"""When a feature map is computed: exactly, as a sum of factors of the path.

The cost-folded chain walks over decisions. Refined to the feature maps that a path computes, one
after the other in topological order, with a return from the output to the input, its stationary
distribution is the *cost-folded TAS of a feature map*: the probability that a drawn path computes
it, over the sum of these probabilities (renewal theorem). Both are expectations of sums of factors,
so the chain gives them without drawing anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tipsc.dtmc import FoldedChain, feature_maps
from tipsc.dtmc.graph import INPUT, OUTPUT
from tipsc.elastic import CostModel, Supernet
from tipsc.elastic.factors import additive_parts
from tipsc.factors import Additive
from tipsc.paths import Path


@dataclass(frozen=True, eq=False)
class Presence:
    """Feature maps, and when each of them is computed.

    Attributes:
        names: N feature maps.
        group: (N,) the number of its indicator; maps that come and go together share one.
        indicators: 1 for a path that computes the maps of the group, else 0.
    """

    names: tuple[str, ...]
    group: tuple[int, ...]
    indicators: tuple[Additive, ...]

    def expected(self, chain: FoldedChain) -> dict[str, float]:
        """The probability that a path of the chain computes each feature map.

        Raises:
            DataError: the chain's graph was not made for the indicators.
        """
        values = [chain.graph.edge_values(function) for function in self.indicators]
        shares = [min(max(chain.chain.expectation(v), 0.0), 1.0) for v in values]
        return {name: shares[g] for name, g in zip(self.names, self.group, strict=True)}

    def tas(self, chain: FoldedChain) -> dict[str, float]:
        """Cost-folded TAS of each feature map; sums to one."""
        visits = self.expected(chain)
        total = sum(visits.values())
        return {name: visit / total for name, visit in visits.items()}

    def tps(self, scores: Mapping[str, float]) -> Additive:
        """TPS, the sum of the scores of the feature maps of a path, as a function of the path."""
        weights = np.bincount(self.group, [scores[name] for name in self.names])
        space = self.indicators[0].space
        terms = (f * float(w) for f, w in zip(self.indicators, weights, strict=True))
        return sum(terms, Additive(space))


def presence_of(supernet: Supernet, names: Sequence[str], paths: Sequence[Path]) -> Presence:
    """When the feature maps of `names` are computed.

    Args:
        names: as :func:`tipsc.dtmc.supergraph` names its nodes.
        paths: some that together compute all of them; more are traced as needed.

    Raises:
        LoweringError: a path cannot be traced, or what is computed depends on too many choices.
    """
    model, seen = CostModel(supernet), dict[Path, frozenset[str]]()

    def traced(path: Path) -> frozenset[str]:
        if path not in seen:
            seen[path] = frozenset((INPUT, OUTPUT, *feature_maps(model.trace(path).steps)))
        return seen[path]

    for path in paths:
        traced(path)
    while True:
        group = _together(names, list(seen.values()))
        first = {g: name for name, g in reversed(list(zip(names, group, strict=True)))}
        found = additive_parts(
            supernet.space,
            lambda path, first=first: {  # type: ignore[misc]
                (str(g), name): 1.0 for g, name in first.items() if name in traced(path)
            },
            [str(g) for g in sorted(first)],
        )
        # Paths that were traced on the way may tell maps apart that were thought alike.
        if _together(names, list(seen.values())) == group:
            return Presence(tuple(names), group, tuple(found.values()))


def _together(names: Sequence[str], traces: Sequence[frozenset[str]]) -> tuple[int, ...]:
    """(N,) numbers; equal for feature maps that stand in the same traces."""
    numbers: dict[tuple[bool, ...], int] = {}
    patterns = (tuple(name in trace for trace in traces) for name in names)
    return tuple(numbers.setdefault(pattern, len(numbers)) for pattern in patterns)
