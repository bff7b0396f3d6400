"""The most valuable paths within a budget."""

from __future__ import annotations

from tipsc.dtmc import ChoiceGraph, best_walk, best_walks
from tipsc.factors import Additive
from tipsc.paths import Path

HALVINGS = 40
POOL = 64
STEPS = (1.0, 1.02, 1.05, 1.1, 1.2, 1.4, 1.8, 3.0, 10.0)
"""Above the price that just fits, where most of the best paths there are still too dear."""


def top_paths(
    graph: ChoiceGraph, cost: Additive, value: Additive, budget: float, count: int
) -> list[Path]:
    """At most `count` paths that cost at most `budget`, the most valuable first.

    Lagrangian relaxation (Everett, 1963): the price at which the best path by value - price * cost
    just fits, and the best paths at the prices on both sides of it. The first one is optimal where
    it lies on the concave hull of value over cost, and close to it elsewhere.

    Args:
        graph: made for the scopes of `cost` and `value`.
        budget: at least the cost of the cheapest path, or nothing is found.
    """
    costs, values = graph.edge_values(cost), graph.edge_values(value)
    slack = 1e-9 * abs(budget)

    def fits(price: float) -> bool:
        _, walk = best_walk(graph.dag, values - price * costs)
        return float(costs[list(walk)].sum()) <= budget + slack

    low, high = 0.0, 0.0
    if not fits(0.0):
        high = float(abs(values).sum() / max(abs(costs).sum(), 1e-300)) or 1.0
        while not fits(high) and high < 1e300:
            low, high = high, high * 8.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            low, high = (low, middle) if fits(middle) else (middle, high)
    pool: dict[str, Path] = {}
    for price in dict.fromkeys((low, *(high * step for step in STEPS))):
        if price > high and len(pool) >= count:
            break
        for _, walk in best_walks(graph.dag, values - price * costs, POOL):
            if float(costs[list(walk)].sum()) <= budget + slack:
                path = graph.path(walk)
                pool[path.id] = path
    return sorted(pool.values(), key=lambda path: (-value.of(path), cost.of(path)))[:count]
