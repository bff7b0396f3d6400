"""Which paths are wanted on a target: what they cost there, for which budgets, within which limits.

A profile says what a path costs. Where nothing was measured, latencies that are estimated from what
is published of the device stand in, or where nothing is, MACs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tipsc.dtmc.folded import FoldedChain
from tipsc.elastic import Supernet
from tipsc.errors import ProfileError
from tipsc.factors import Additive
from tipsc.paths import Path
from tipsc.pipeline.asked import Asked, asked_of, budgets_asked, near_the_reference
from tipsc.pipeline.context import TargetProject
from tipsc.pipeline.fold import FEWEST, cost_of_profile, features_of, predictor_of_profile
from tipsc.pipeline.limits import additive_limits, check_budgets
from tipsc.pipeline.profile import load_profile
from tipsc.profile import Predictor, Profile
from tipsc.profile.roofline import estimated_ms
from tipsc.project.config import Build
from tipsc.search import Limit, spaced_budgets

#: of a goal, where too few paths were measured to predict milliseconds
_UNTIMED = {"latency_ms": None}


@dataclass(frozen=True, eq=False)
class Goal:
    """What paths are looked for.

    Attributes:
        cost: of a path: predicted p50 in ms; where nothing was measured, estimated ms or millions
            of MACs.
        budgets: that paths are looked for, in its unit; increasing.
        limits: that every path keeps.
        predictor: of latencies; None where paths were too few to fit one, or not measured.
        totals: of the supernet.
        measured: p50 in ms of the paths that were, by id.
        noise: of the profile; "" if nothing makes it doubtful.
        asked: what the goals of the configuration ask for.
        fixed: of the budgets those that stay however few paths there are.
    """

    cost: Additive
    budgets: tuple[float, ...]
    limits: tuple[Limit, ...]
    predictor: Predictor | None
    totals: Mapping[str, Additive]
    measured: Mapping[str, float]
    noise: str = ""
    asked: tuple[Asked, ...] = ()
    fixed: tuple[float, ...] = ()

    def latencies(self, paths: Sequence[Path]) -> list[tuple[float, bool]]:
        """Of each path its cost, in ms or millions of MACs, and whether it was measured."""
        unknown = [path for path in paths if path.id not in self.measured]
        predicted = dict(zip(unknown, self._predicted(unknown), strict=True))
        return [
            (self.measured[p.id], True) if p.id in self.measured else (predicted[p], False)
            for p in paths
        ]

    def _predicted(self, paths: Sequence[Path]) -> list[float]:
        if not paths:
            return []
        if self.predictor is not None:
            values = [path.values for path in paths]
            return self.predictor.predict(values, features_of(self.totals, paths)).mean.tolist()
        if self.measured:
            raise ProfileError("too few paths were measured to predict others")
        return self.cost.of_many(paths).tolist()


def goal_of(project: TargetProject) -> Goal:
    """The goal of a project; its profile is taken first, if that is missing.

    Raises:
        BudgetError: no path is as fast as a budget.
    """
    build, precision = project.config.build, project.target.precision
    if project.plan.unmeasured:
        estimate, macs = estimate_of(project), project.totals["macs"] * 1e-6
        cost = macs if estimate is None else estimate
        return unmeasured(cost, project.totals, build, precision)
    return by_profile(project.untrained, load_profile(project), project.totals, build, precision)


def estimate_of(project: TargetProject) -> Additive | None:
    """Of a path the ms that figures of the target lead to; None where they do not choose paths."""
    if project.plan.roofline is None:
        return None
    return estimated_ms(project.untrained, project.plan.roofline, project.target.precision)


def unmeasured(
    cost: Additive, totals: Mapping[str, Additive], build: Build, precision: str = "fp32"
) -> Goal:
    """Where nothing was measured, and something else stands for the latency of a path."""
    bounds = additive_limits(build.limits, totals, cost, 1.0, precision)
    asked = asked_of(build.goals, cost, totals, 1.0, precision)
    budgets, fixed = _budgets(cost, build, bounds, asked)
    return Goal(cost, budgets, bounds, None, totals, {}, asked=asked, fixed=fixed)


def by_profile(
    supernet: Supernet,
    profile: Profile,
    totals: Mapping[str, Additive],
    build: Build,
    precision: str = "fp32",
) -> Goal:
    """By what was measured.

    Args:
        totals: of :func:`tipsc.elastic.additive_totals`.
        precision: of the target; file and memory limits count its bytes.
    """
    predictor, safety = None, 1.0
    cost = totals["macs"] * 1e-6  # orders the paths of a space that has one or two
    if len(profile.paths) >= FEWEST:
        predictor = predictor_of_profile(profile, totals)
        cost = cost_of_profile(supernet, profile, totals=totals)
        check_budgets(build.budgets_ms, FoldedChain.of(cost).cost_range[0])
        safety = _safety(predictor, profile, totals)
    bounds = additive_limits(build.limits, totals, cost, safety, precision)
    measured = {path.id: path.latency.p50_ms for path in profile.paths}
    goals = build.goals if predictor else [g.model_copy(update=_UNTIMED) for g in build.goals]
    asked = asked_of(goals, cost, totals, safety, precision)
    budgets, fixed = _budgets(cost, build, bounds, asked)
    return Goal(cost, budgets, bounds, predictor, totals, measured, profile.noise, asked, fixed)


def one_for_each(goal: Goal, count: int) -> Goal:
    """The goal with as many budgets as paths ship, which are chosen before they are trained.

    Of too many budgets those that are spread most evenly stay, and those of goals; between too few
    come others, in the middle of the widest gap on a logarithmic scale, and below the first one.
    """
    budgets = sorted(set(goal.budgets))
    if len(budgets) > count:
        free = [budget for budget in budgets if budget not in goal.fixed]
        left = max(0, min(count - len(goal.fixed), len(free)))
        places = np.linspace(len(free) - 1, 0, left).tolist()  # the last one always stays
        budgets = sorted({*goal.fixed, *(free[round(place)] for place in places)})
    low = max(FoldedChain.of(goal.cost).cost_range[0], budgets[-1] * 1e-3)
    while len(budgets) < count:
        ends = [min(low, budgets[0]), *budgets]
        gaps = [math.log(b / a) for a, b in pairwise(ends)]
        widest = max(range(len(gaps)), key=lambda place: gaps[place])
        if gaps[widest] <= 0:
            break
        budgets.insert(widest, math.sqrt(ends[widest] * ends[widest + 1]))
    return replace(goal, budgets=tuple(budgets))


def _budgets(
    cost: Additive, build: Build, bounds: Sequence[Limit], asked: Sequence[Asked]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """All budgets, and those of goals among them."""
    low, high = FoldedChain.of(cost).cost_range
    high = min([high, *(bound.allowed for bound in bounds if bound.name == "latency_ms")])
    fixed = budgets_asked(asked, low, high)
    if build.budgets_ms:
        others: tuple[float, ...] = build.budgets_ms
    else:
        spaced = spaced_budgets(low, high, max(1, build.paths - len(fixed)))
        others = (*spaced, *near_the_reference(asked, high))
    return tuple(sorted({*fixed, *others})), fixed


def _safety(predictor: Predictor, profile: Profile, totals: Mapping[str, Additive]) -> float:
    """Predicted latency over the upper end of its interval, for the median measured path."""
    paths = [profile.search_space.path(path.options) for path in profile.paths]
    prediction = predictor.predict([p.values for p in paths], features_of(totals, paths))
    return float(np.median(prediction.mean / prediction.high))
