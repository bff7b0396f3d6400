"""The most valuable paths within a budget."""

from __future__ import annotations

from tipsc.dtmc import ChoiceGraph, best_walk, best_walks
from tipsc.factors import Additive
from tipsc.paths import Path

HALVINGS = 40  # of the bracket of the price
POOL = 64  # paths that are looked at for each price
STEPS = 24  # prices above the one that just fits, at most
SMALL = 1e-3  # where they start if everything fits at price 0, in values per cost


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

    scale = float(abs(values).sum() / max(abs(costs).sum(), 1e-300)) or 1.0
    low, high = 0.0, 0.0
    if not fits(0.0):
        high = scale
        while not fits(high) and high < 1e300:
            low, high = high, high * 8.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            low, high = (low, middle) if fits(middle) else (middle, high)
    pool: dict[str, Path] = {}

    def gather(price: float) -> None:
        for _, walk in best_walks(graph.dag, values - price * costs, POOL):
            if float(costs[list(walk)].sum()) <= budget + slack:
                path = graph.path(walk)
                pool[path.id] = path

    gather(low)
    # Most of the best paths at the price that just fits may still be too dear, all of them where
    # many have the same value; at a high enough price they are the cheapest ones.
    price, step = high or SMALL * scale, 1.02
    for _ in range(STEPS):
        gather(price)
        if len(pool) >= count:
            break
        price, step = price * step, min(step**2, 64.0)
    return sorted(pool.values(), key=lambda path: (-value.of(path), cost.of(path)))[:count]
