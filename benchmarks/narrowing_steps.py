"""Narrowing in several steps, and late swaps of a path: what two arms of `narrowing.py` draw.

The support of the chain p(path) ~ exp(eta U - mu T) shrinks while training goes on. U is what a
look says of paths: their score on validation data with norm statistics of their own, made smooth by
the surrogate of the search, in standard deviations over paths of that budget. The price mu is
that at which a path costs what a budget allows.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tipsc.dtmc.folded import FoldedChain
from tipsc.dtmc.samplers import Sampler
from tipsc.dtmc.shipping import Shipping
from tipsc.factors import Additive
from tipsc.paths import Path as Subnet

#: a path that is cheaper than its budget by more than this share is not near it
NEAR = 0.2
_DRAWS = 40  # for each path of a support, before it is as large as it gets
_SPREAD = 64  # paths whose utilities say what a standard deviation is
_LOWEST = 1.02  # of the cheapest path: what a chain may cost in the mean


@dataclass(frozen=True)
class Step:
    """From `begin`, a share of the compute, on so many paths are trained, drawn with this eta."""

    begin: float
    paths: int
    eta: float


#: before the first step the whole space is trained, from SHIP on the paths that ship
STEPS = (Step(0.25, 100, 1.0), Step(0.375, 48, 2.0), Step(0.5, 12, 4.0))
SHIP = 0.625


def support(
    cost: Additive, budgets: Sequence[float], utility: Additive | None, step: Step, seed: int
) -> list[Subnet]:
    """Distinct paths near the budgets, as many for each; fewer where there are not so many.

    Args:
        cost: of a path.
        budgets: in its unit.
        utility: of a path, in any unit; None: all are worth the same.
    """
    chance, chosen = random.Random(seed), dict[Subnet, None]()
    low, high = FoldedChain.of(cost).cost_range
    for place, budget in enumerate(sorted(budgets), 1):
        aim = min(max((1 - NEAR / 2) * budget, _LOWEST * low), high)
        plain = FoldedChain.of(cost, utility, budget=aim)
        chain = plain
        if utility is not None:
            drawn = [plain.sample(chance) for _ in range(_SPREAD)]
            scale = statistics.pstdev([utility.of(path) for path in drawn])
            if scale > 0:
                chain = FoldedChain.of(cost, utility, eta=step.eta / scale, budget=aim)
        wanted = round(step.paths * place / len(budgets))
        for _ in range(_DRAWS * step.paths):
            path = chain.sample(chance)
            if len(chosen) < wanted and (1 - NEAR) * budget <= cost.of(path) <= budget:
                chosen[path] = None
    return list(chosen)


@dataclass
class Narrowing:
    """A sampler whose support shrinks as the compute is spent.

    Args:
        whole: draws until the first step.
        cost: MACs of a path.
        narrowed: the support from a step on.
        compute: of the whole training, in MACs for each example of a batch.
        thrift: 1 gives each path of a support as much compute, 0 as many steps.
    """

    whole: Sampler
    cost: Callable[[Subnet], float]
    narrowed: Callable[[Step], list[Subnet]]
    compute: float
    thrift: float
    paths: list[Subnet] = field(default_factory=list)
    _left: list[Step] = field(default_factory=lambda: list(STEPS))
    _spent: float = 0.0

    def draw(self, generator: random.Random, count: int) -> list[Subnet]:
        while self._left and self._spent >= self._left[0].begin * self.compute:
            step = self._left.pop(0)
            self.paths = self.narrowed(step)
            print(f"  {len(self.paths)} paths from {self._spent / self.compute:.2f} of the compute")
            self.whole = Shipping.of(self.paths, [self.cost(p) for p in self.paths], self.thrift)
        drawn = self.whole.draw(generator, count)
        self._spent += sum(self.cost(path) for path in drawn)
        return drawn


def neighbours(
    path: Subnet, cost: Additive, budget: float, known: Sequence[Subnet], most: int, seed: int
) -> list[Subnet]:
    """Paths that differ in one step of one choice, within a budget and near it; not the known."""
    found: dict[Subnet, None] = {}
    for choice in cost.space.choices:
        if choice.name not in path.options:
            continue
        at = choice.options.index(path.options[choice.name])
        for other in (at - 1, at + 1):
            if 0 <= other < len(choice.options):
                near = cost.space.path({**path.options, choice.name: choice.options[other]})
                if near not in known and (1 - NEAR) * budget <= cost.of(near) <= budget:
                    found[near] = None
    chance = random.Random(seed)
    return chance.sample(list(found), min(most, len(found)))
