"""What a path may cost at most, and what to say when no path is so small."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tipsc.errors import BudgetError, DataError
from tipsc.factors import Additive, Floats, Integers, option_numbers
from tipsc.paths import Path

ROUNDING = 1e-9
"""Relative: a cost that is above its limit by less than this is a sum in another order."""


@dataclass(frozen=True, eq=False)
class Limit:
    """``cost(path) <= most``.

    Args:
        name: of the quantity, with its unit, for example ``latency_ms``.
        cost: of a path, positive.
        most: that a path may cost, positive.
    """

    name: str
    cost: Additive
    most: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.most) and self.most > 0):
            raise DataError(f"the limit {self.name} must be a positive number", got=self.most)


def excess(limits: Sequence[Limit], numbers: Integers) -> Floats:
    """(n,) by how much paths exceed the limit that they exceed most, as a share of it.

    Args:
        numbers: (n, choices) :func:`~tipsc.factors.option_numbers` of the paths.
    """
    over = [limit.cost.of_numbers(numbers) / limit.most - 1.0 for limit in limits]
    return np.max(over, axis=0) if over else np.full(len(numbers), -1.0)


def within(limits: Sequence[Limit], paths: Sequence[Path]) -> list[Path]:
    """The paths that keep all limits, in their order."""
    if not limits or not paths:
        return list(paths)
    over = excess(limits, option_numbers(limits[0].cost.space, paths))
    return [path for path, by in zip(paths, over, strict=True) if by <= ROUNDING]


def check_possible(limits: Sequence[Limit], nearest: Path) -> None:
    """Refuses limits that even the path which comes nearest does not keep.

    Raises:
        BudgetError: names that path, and what it costs.
    """
    if within(limits, [nearest]):
        return
    costs = {limit.name: limit.cost.of(nearest) for limit in limits}
    raise refusal({limit.name: limit.most for limit in limits}, nearest, costs)


def refusal(
    limits: Mapping[str, float],
    nearest: Path,
    costs: Mapping[str, float],
    accuracy: tuple[float, float] | None = None,
) -> BudgetError:
    """What is raised when no path keeps all limits.

    Args:
        limits: name to the most that is allowed.
        nearest: the path that misses them by least.
        costs: what it costs, by the same names.
        accuracy: what is required, and what that path has.
    """
    wanted = [f"{name} at most {most:,.6g}" for name, most in limits.items()]
    got = [f"{name} {costs[name]:,.6g}" for name in limits]
    if accuracy is not None:
        wanted.append(f"accuracy at least {accuracy[0]:.2%}")
        got.append(f"accuracy {accuracy[1]:.2%}")
    return BudgetError(
        "no path keeps all limits",
        where="build.limits",
        expected=", ".join(wanted),
        got=f"path {nearest.id}, which comes nearest, with {', '.join(got)}",
        fix="loosen a limit, or train a supernet with smaller or better paths",
    )
