"""What a governor says where it runs nothing."""

from __future__ import annotations

from tipsc.errors import BudgetError
from tipsc.runtime.demand import Demand
from tipsc.runtime.estimate import Estimate
from tipsc.runtime.rule import Decision, Mode


def nothing_fits(decision: Decision, estimate: Estimate) -> BudgetError:
    """Of a decision that is too late."""
    budget, predicted = decision.budget_ms, decision.predicted_ms
    slow = f", slowed {estimate.factor:.2f}x" if estimate.factor > 1.01 else ""
    constant = estimate.constant_ms(decision.gap_ms)
    pause = f", {constant:.3g} ms of it after a pause" if constant > 0.001 else ""
    by_rate = decision.mode is Mode.THROUGHPUT
    return BudgetError(
        f"no path fits a budget of {budget:g} ms: the fastest, {decision.path.id}, takes "
        f"{predicted:.3g} ms{slow}{pause}",
        expected=f"per_second <= {1e3 / predicted:.3g}"
        if by_rate
        else f"budget_ms >= {predicted:.3g}",
        got=1e3 / budget if by_rate else budget,
        fix='give more time, or Governor(..., fallback="fastest") to run late',
    )


def nothing_is_as_thrifty(demand: Demand, decision: Decision) -> BudgetError:
    """Of a decision that is too costly."""
    cap_mj, takes_mj = decision.budget_mj, decision.path.energy_mj
    by_power = demand.watts is not None and cap_mj < demand.budget_mj
    left = f", which is what {demand.watts:g} W leave now" if by_power else ""
    return BudgetError(
        f"no path takes {cap_mj:.3g} mJ or less{left}: the thriftiest, {decision.path.id}, takes "
        f"{takes_mj:.3g} mJ",
        expected="more watts, or calls less often" if by_power else f"budget_mj >= {takes_mj:.3g}",
        got=f"{demand.watts:g} W" if by_power else f"{cap_mj:.3g}",
        fix='give more energy, or Governor(..., fallback="fastest") to run the thriftiest',
    )
