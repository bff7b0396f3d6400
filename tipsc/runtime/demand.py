"""What a call of a governor is held to, checked."""

from __future__ import annotations

import math
from numbers import Real
from typing import NamedTuple

import numpy as np

from tipsc.engine.manifest import PathEntry
from tipsc.errors import UsageError
from tipsc.runtime.pick import check_budget
from tipsc.runtime.rule import Mode


class Demand(NamedTuple):
    """One thing that a call is held to.

    Attributes:
        mode: by which a path is found.
        budget_ms: for the call; the period of a throughput; inf where none was given.
        budget_mj: energy that the call may take; inf where none was given.
        watts: that calls may take in the mean; None where nothing was said of that.
        path: that was asked for.
    """

    mode: Mode
    budget_ms: float
    budget_mj: float = math.inf
    watts: float | None = None
    path: PathEntry | str | None = None


def demanded(
    budget_ms: float | None,
    per_second: float | None,
    path: PathEntry | str | None,
    budget_mj: float | None,
    watts: float | None,
) -> Demand:
    """The demand of such arguments; see :meth:`tipsc.runtime.Governor.run`.

    Raises:
        UsageError: they do not go together, or one is no positive number.
    """
    energy = budget_mj is not None or watts is not None
    if per_second is not None and (budget_ms is not None or path is not None or energy):
        raise _several("per_second alone, budget_ms or path", "per_second and another")
    if path is not None and energy:
        raise _several("path, or an energy to find one by", "path and an energy")
    if per_second is not None:
        return Demand(Mode.THROUGHPUT, 1e3 / check_rate(per_second))
    given_ms = math.inf if budget_ms is None and (energy or path is not None) else budget_ms
    checked_ms = check_budget(given_ms)
    if path is not None:
        return Demand(Mode.PINNED, checked_ms, path=path)
    if not energy:
        return Demand(Mode.DEADLINE, checked_ms)
    return Demand(
        Mode.ENERGY,
        checked_ms,
        math.inf if budget_mj is None else _check_energy("budget_mj", "millijoules", budget_mj),
        None if watts is None else _check_energy("watts", "watts", watts),
    )


def check_rate(per_second: object) -> float:
    """Calls a second as a number.

    Raises:
        UsageError: it is none, or not positive and finite.
    """
    return _positive(per_second, "this is no rate", "per_second", "calls a second")


def _check_energy(name: str, unit: str, value: object) -> float:
    what = "energy of a call" if name == "budget_mj" else "power"
    return _positive(value, f"this is no {what}", name, unit)


def _positive(value: object, what: str, where: str, unit: str) -> float:
    number = isinstance(value, Real | np.number) and not isinstance(value, bool)
    if not number or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise UsageError(
            what, where=where, expected=f"{unit}: a finite number above 0", got=repr(value)
        )
    return float(value)  # type: ignore[arg-type]


def _several(expected: str, got: str) -> UsageError:
    return UsageError("a call is held to one thing", expected=expected, got=got)
