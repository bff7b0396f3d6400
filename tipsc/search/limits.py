"""What a path may cost at most, and what to say when no path is so small."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tipsc.errors import BudgetError, DataError
from tipsc.factors import Additive, Floats, Integers, option_numbers
from tipsc.paths import Path
from tipsc.quality import Quality

ROUNDING = 1e-9
"""Relative: a cost that is above its limit by less than this is a sum in another order."""


@dataclass(frozen=True, eq=False)
class Limit:
    """``cost(path) <= most``, with a margin where the cost is a prediction.

    Args:
        name: of the quantity, with its unit, for example ``latency_ms``.
        cost: of a path, positive.
        most: that a path may cost, positive; as the user wrote it.
        margin: share of `most` that is kept free, because the cost may be predicted too low.
    """

    name: str
    cost: Additive
    most: float
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.most) and self.most > 0):
            raise DataError(f"the limit {self.name} must be a positive number", got=self.most)

    @property
    def allowed(self) -> float:
        """What `cost` may be, the margin taken off."""
        return self.most * (1.0 - self.margin)

    def __str__(self) -> str:
        if not self.margin:
            return _at_most(self.name, self.most)
        return (
            f"{_at_most(self.name, self.most)} (of which a prediction may reach "
            f"{self.allowed:,.4g}: {self.margin:.1%} are kept free, as predictions err)"
        )


def excess(limits: Sequence[Limit], numbers: Integers) -> Floats:
    """(n,) by how much paths exceed the limit that they exceed most, as a share of it.

    Args:
        numbers: (n, choices) :func:`~tipsc.factors.option_numbers` of the paths.
    """
    over = [limit.cost.of_numbers(numbers) / limit.allowed - 1.0 for limit in limits]
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
    raise refusal({limit.name: str(limit) for limit in limits}, nearest, costs)


def refusal(
    limits: Mapping[str, str],
    nearest: Path,
    costs: Mapping[str, float],
    quality: tuple[Quality, Quality] | None = None,
) -> BudgetError:
    """What is raised when no path keeps all limits.

    Args:
        limits: name to the limit in words.
        nearest: the path that misses them by least.
        costs: what it costs, by the same names.
        quality: what is required, and what that path has.
    """
    wanted = list(limits.values())
    got = [f"{name} {costs[name]:,.6g}" for name in limits]
    if quality is not None:
        required, found = quality
        most = "at least" if required.better == "higher" else "at most"
        wanted.append(f"{required.name} {most} {required.amount}")
        got.append(str(found))
    return BudgetError(
        "no path keeps all limits",
        where="build.limits",
        expected=", ".join(wanted),
        got=f"path {nearest.id}, which comes nearest, with {', '.join(got)}",
        fix="loosen a limit, or train a supernet with smaller or better paths",
    )


def _at_most(name: str, most: float) -> str:
    return f"{name} at most {most:,.6g}"
