"""Candidate paths from the chain, looked at briefly, and the promising ones in full.

1. Paths near each budget are drawn from the cost-folded chain and evaluated on few images.
2. A surrogate of merit is fitted to them (:mod:`tipsc.search.surrogate`). It proposes the paths
   that it holds for the best under each budget, and paths that would be under draws of its
   posterior (Thompson, 1933), in two rounds.
3. For each budget the best of all these are evaluated in full: successive halving (Jamieson and
   Talwalkar, 2016) with two rungs.

What a path is worth in the end is the mean of its own merit and the surrogate's: the first is
lucky where it is the largest of many, the second is blind to what only this path has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tipsc.dtmc.folded import FoldedChain
from tipsc.errors import DataError
from tipsc.factors import Additive, unary
from tipsc.paths import Path
from tipsc.search.best import Listed, Unrolled, searchable
from tipsc.search.limits import ROUNDING, Limit, check_possible, within
from tipsc.search.surrogate import Surrogate

FULL_SHARE = 0.4
"""Of all evaluations: what is kept for evaluating in full."""

_SPREAD_SHARE = 0.5  # of the first looks: what is drawn before there is a surrogate
_PROPOSAL_ROUNDS = 2
_OWN = 0.5  # weight of a path's own merit beside the surrogate's
_DRAWS = 4  # from the chain, for each path that is wanted, before other ways are tried
_CLOSE = 0.2  # a path that is cheaper than the budget by more than this is no path near it


@dataclass(frozen=True)
class Rung:
    """How a path is evaluated.

    Args:
        calibration: training images that its statistics come from.
        validation: images that its quality is measured on.
    """

    calibration: int
    validation: int

    @property
    def images(self) -> int:
        """Images that pass through the path."""
        return self.calibration + self.validation


def rungs(calibration: int, validation: int) -> tuple[Rung, Rung]:
    """A first look at a path, and its evaluation in full.

    An eighth of the calibration images changes the order of paths little; half of the validation
    images on twice as many paths teach the surrogate more than all of them (docs/search.md).
    """
    return (
        Rung(min(calibration, max(128, calibration // 8)), math.ceil(validation / 2)),
        Rung(calibration, validation),
    )


def looked(evaluations: int, budgets: int, size: int, first: Rung, full: Rung) -> tuple[int, int]:
    """About how many paths of a space of `size` a search looks at, and evaluates in full."""
    if size <= evaluations:
        return 0, size
    wanted = max(budgets, round(FULL_SHARE * evaluations))
    return round(max(0.0, evaluations - wanted) * full.images / first.images), wanted


Evaluate = Callable[[Sequence[Path], Rung], Sequence[float]]
"""Merit of each path; higher is better. On a rung all paths see the same images."""


@dataclass(frozen=True)
class Finalist:
    """A path that was evaluated in full.

    Attributes:
        cost: of the path, as the chain has it.
        merit: on all validation images.
        expected: mean of that and of the surrogate: what to choose by.
    """

    path: Path
    cost: float
    merit: float
    expected: float


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        finalists: from cheap to dear.
        looked_at: how many paths were evaluated at all.
        images: that passed through paths.
        surrogate: fitted to all evaluations; None if too few paths were evaluated.
    """

    finalists: tuple[Finalist, ...]
    looked_at: int
    images: int
    surrogate: Surrogate | None


def spaced_budgets(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` budgets evenly over the logarithm, the dearest path's among them."""
    low = max(low, high * 1e-3)  # a fitted cost may be nothing for the smallest path
    return tuple((low * (high / low) ** (np.arange(1, count + 1) / count)).tolist())


def search(
    cost: Additive,
    budgets: Sequence[float],
    evaluate: Evaluate,
    rungs: tuple[Rung, Rung],
    *,
    evaluations: float,
    limits: Sequence[Limit] = (),
    prior: Additive | None = None,
    bands: bool = False,
    seed: int = 0,
) -> Found:
    """Find the paths worth evaluating in full, for several budgets.

    Args:
        cost: of a path.
        budgets: in its unit; those above the dearest path mean that one.
        evaluate: measures merits; it is called for many paths at a time, and the time of the
            search is nearly all spent there.
        rungs: a first look and a full evaluation.
        evaluations: what may be spent, in full evaluations; one path at least for each budget is
            evaluated in full, whatever this says.
        limits: that every finalist keeps, beside the budgets.
        prior: a utility learned in training, in any unit; the surrogate fits what it is worth.
        bands: whether each budget gets finalists that cost more than the budget before it, though
            cheaper ones score better: where paths are trained afterwards, that says little of what
            they will be worth.
        seed: of everything that is drawn.

    Raises:
        BudgetError: no path keeps the limits; names the nearest.
        DataError: no budgets, or functions of different spaces.
    """
    if not budgets:
        raise DataError("a search needs at least one budget")
    return _Search(cost, budgets, evaluate, rungs, limits, prior, bands, seed).run(evaluations)


class _Search:
    """The state of one search: what was evaluated so far."""

    def __init__(
        self,
        cost: Additive,
        budgets: Sequence[float],
        evaluate: Evaluate,
        rungs: tuple[Rung, Rung],
        limits: Sequence[Limit],
        prior: Additive | None,
        bands: bool,
        seed: int,
    ) -> None:
        priors = [] if prior is None else [prior]
        functions = [cost, *(limit.cost for limit in limits), *priors]
        self.cost, self.limits, self.prior = cost, tuple(limits), prior
        self.evaluate, self.rungs, self.bands = evaluate, rungs, bands
        self.generator = np.random.default_rng(seed)
        self.space: Listed | Unrolled = searchable(cost.space, *functions)
        self.chain = FoldedChain.of(cost)
        low, high = self.chain.cost_range
        if limits:
            check_possible(limits, self.space.nearest(limits))
            low = cost.of(self.space.best(-cost, self.limits, 1)[0])
        self.budgets = sorted({min(max(budget, low), high) for budget in budgets})
        self.known: dict[Path, tuple[float, Rung]] = {}
        self.images = 0

    def run(self, evaluations: float) -> Found:
        first, full = self.rungs
        per_look = first.images / full.images
        if self.cost.space.size <= evaluations:
            every = within(self.limits, list(self.cost.space.enumerate()))
            self._evaluate(every, full)
            return self._found(every)
        ends = self._ends()
        wanted = max(len(self.budgets), round(FULL_SHARE * evaluations) - len(ends))
        looks = max(0.0, evaluations - wanted) / per_look
        self._evaluate(self._spread(round(_SPREAD_SHARE * looks)), first)
        for left in range(_PROPOSAL_ROUNDS, 0, -1):
            more = round((looks - len(self.known)) / left)
            self._evaluate(self._proposals(more), first)
        promising = [path for path in self._promising(wanted) if path not in ends]
        finalists = [*ends, *promising]
        self._evaluate(finalists, full)
        return self._found(finalists)

    def _ends(self) -> list[Path]:
        """The cheapest path, and the largest if it keeps the limits and the widest budget."""
        limits = self._under(self.budgets[-1])
        cheapest = self.space.best(-self.cost, limits, 1)
        return list(dict.fromkeys([*cheapest, *within(limits, [self.cost.space.largest])]))

    def _evaluate(self, paths: Sequence[Path], rung: Rung) -> None:
        if paths:
            merits = self.evaluate(paths, rung)
            self.images += rung.images * len(paths)
            self.known.update({p: (a, rung) for p, a in zip(paths, merits, strict=True)})

    def _under(self, budget: float) -> tuple[Limit, ...]:
        return (*self.limits, Limit("budget", self.cost, budget))

    def _spread(self, count: int) -> list[Path]:
        """About `count` paths near the budgets, evenly over them, drawn from the chain."""
        chosen: dict[Path, None] = {}
        for place, budget in enumerate(self.budgets):
            aim = round(count * (place + 1) / len(self.budgets))
            for path in self._near(budget, aim - len(chosen)):
                if len(chosen) == aim:
                    break
                chosen.setdefault(path)
        return list(chosen)

    def _near(self, budget: float, wanted: int) -> Iterator[Path]:
        if wanted < 1:
            return
        low, _ = self.chain.cost_range
        # The chain's expected cost is put below the budget, so that most of its paths keep it.
        chain = self.chain.at_budget(max(budget * (1.0 - _CLOSE / 2.0), low))
        drawn = within(self._under(budget), chain.sample_many(self.generator, _DRAWS * wanted))
        yield from (path for path in drawn if self.cost.of(path) >= (1.0 - _CLOSE) * budget)
        yield from drawn
        for _ in range(wanted):  # the chain knows nothing of the other limits
            yield from self.space.best(self._anything(), self._under(budget), 1)

    def _anything(self) -> Additive:
        """A utility without meaning: its best paths are paths within the limits."""
        space, normal = self.cost.space, self.generator.standard_normal
        return unary(space, {c.name: normal(len(c.options)) for c in space.choices})

    def _proposals(self, count: int) -> list[Path]:
        """About `count` new paths under the budgets that could be the best ones."""
        if (surrogate := self._surrogate()) is None:
            return self._spread(count)
        chosen: dict[Path, None] = {}
        for place, budget in enumerate(self.budgets):
            aim = round(count * (place + 1) / len(self.budgets))
            half = len(chosen) + (aim - len(chosen)) // 2
            self._add_best(chosen, surrogate.mean, budget, half)
            for _ in range(2 * max(0, aim - len(chosen))):
                self._add_best(chosen, surrogate.draw(self.generator), budget, aim, most=1)
        return list(chosen)

    def _add_best(
        self,
        chosen: dict[Path, None],
        utility: Additive,
        budget: float,
        aim: int,
        most: int | None = None,
    ) -> None:
        """The best new paths under a budget, until `aim` are chosen or `most` were added."""
        aim = aim if most is None else min(aim, len(chosen) + most)
        if (wanted := aim - len(chosen)) < 1:
            return
        for path in self.space.best(utility, self._under(budget), 2 * wanted + 8):
            if len(chosen) < aim and path not in self.known:
                chosen.setdefault(path)

    def _promising(self, count: int) -> list[Path]:
        """The `count` best paths known, or the best that nobody knows, evenly over the budgets."""
        surrogate = self._surrogate()
        utility = self.prior or self.cost if surrogate is None else surrogate.mean
        chosen: dict[Path, None] = {}
        paths, rest = list(self.known), count
        expected = dict(zip(paths, self._expected(paths, surrogate), strict=True))
        costs = dict(zip(paths, self.cost.of_many(paths).tolist(), strict=True))
        ordered = sorted(paths, key=lambda path: (-expected[path], path.id))
        for place, budget in reversed(list(enumerate(self.budgets))):
            left, below = place + 1, self.budgets[place - 1] if self.bands and place else 0.0
            fitting = [path for path in ordered if costs[path] <= budget * (1.0 + ROUNDING)]
            fitting = fitting or self.space.best(utility, self._under(budget), 2)
            fitting.sort(key=lambda path: self.cost.of(path) <= below * (1.0 + ROUNDING))
            new = [path for path in fitting if path not in chosen][: math.ceil(rest / left)]
            chosen.update(dict.fromkeys(new))
            rest -= len(new)
        return list(chosen)

    def _expected(self, paths: Sequence[Path], surrogate: Surrogate | None) -> list[float]:
        """What evaluated paths are worth; compare only those of one rung."""
        own = np.array([self.known[path][0] for path in paths])
        if surrogate is None or not paths:
            return own.tolist()
        return (_OWN * own + (1.0 - _OWN) * surrogate.mean.of_many(paths)).tolist()

    def _surrogate(self) -> Surrogate | None:
        if len(self.known) < 3:
            return None
        merits, used = zip(*self.known.values(), strict=True)
        images = [rung.validation for rung in used]
        return Surrogate.fit(self.cost.space, list(self.known), merits, images, prior=self.prior)

    def _found(self, paths: Sequence[Path]) -> Found:
        surrogate = self._surrogate()
        finalists = [
            Finalist(path, cost, self.known[path][0], expected)
            for path, cost, expected in zip(
                paths,
                self.cost.of_many(paths).tolist(),
                self._expected(paths, surrogate),
                strict=True,
            )
        ]
        finalists.sort(key=lambda f: (f.cost, f.path.id))
        return Found(tuple(finalists), len(self.known), self.images, surrogate)
