"""What a path is worth: by which measure, how much, in which unit, and which way is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from tipsc.errors import DataError

SHARE = "share"
"""The unit of a number from 0 to 1, which people read in per cent."""

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Quality:
    """One value of a measure.

    Attributes:
        name: of the measure.
        value: finite.
        unit: of the value; :data:`SHARE`, or "" for a number without one.
        better: whether a higher value is better, or a lower one.

    Raises:
        DataError: the value is no number, or a share that is not between 0 and 1; or neither way
            is better.
    """

    name: str
    value: float
    unit: str = ""
    better: Better = "higher"

    def __post_init__(self) -> None:
        if self.better not in get_args(Better):
            raise DataError(
                f"nothing says which way the {self.name} is better",
                where="better",
                expected=" or ".join(get_args(Better)),
                got=repr(self.better),
            )
        possible = 0.0 <= self.value <= 1.0 if self.unit == SHARE else math.isfinite(self.value)
        if not possible:
            raise DataError(
                f"the {self.name} has an impossible value",
                where="value",
                expected="a share from 0 to 1" if self.unit == SHARE else "a finite number",
                got=self.value,
            )

    @property
    def measure(self) -> tuple[str, str, str]:
        """What the value is of: name, unit, and which way is better."""
        return self.name, self.unit, self.better

    @property
    def merit(self) -> float:
        """The value, turned so that higher is better."""
        return self.value if self.better == "higher" else -self.value

    def above(self, other: Quality) -> float:
        """By how much it is better than another value of the measure; negative if it is worse."""
        return self.merit - other.merit

    def __str__(self) -> str:
        return f"{self.name} {self.amount}"

    @property
    def amount(self) -> str:
        """The value with its unit, as people read it."""
        if self.unit == SHARE:
            return f"{self.value:.1%}"
        return f"{self.value:.4g} {self.unit}".rstrip()
