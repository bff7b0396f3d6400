"""How much energy a call may take so that calls keep to a power in the mean.

Watts flow into the account all the time, and a call takes out what one of its path took when that
was measured. The account holds HELD calls of the costliest path, and is full at first. A call may
take a SHARE of what is there: calls that come in a burst get smaller paths step by step, instead of
one large path and then nothing, and calls at a steady rate settle where they take what flows in.
The thriftiest path runs as long as there is enough for it.

So in any time t calls take at most watts times t, and once what the account holds.
"""

from __future__ import annotations

from collections.abc import Sequence

#: calls of the costliest path that the account holds: twice those after which, at a SHARE, that
#: path may still run, so that nothing flows over while it waits for its turn
HELD = 16.0
#: of the account, for one call
SHARE = 0.125


class Account:
    """Of the calls of one governor.

    Args:
        energies_mj: millijoules of a call of each path, at least one.

    Attributes:
        left_mj: after the last call; below 0 where calls ran that nothing was left for.
    """

    def __init__(self, energies_mj: Sequence[float]) -> None:
        self._least, self._holds = min(energies_mj), HELD * max(energies_mj)
        self.left_mj = self._holds

    def there_mj(self, since_ms: float, watts: float) -> float:
        """What is there, so long after the last call; a watt is a millijoule a millisecond."""
        return min(self.left_mj + watts * since_ms, self._holds)

    def cap_mj(self, since_ms: float, watts: float) -> float:
        """What a call may take now."""
        there = self.there_mj(since_ms, watts)
        share = SHARE * there
        return share if share >= self._least else max(0.0, min(there, self._least))

    def spend(self, since_ms: float, watts: float, energy_mj: float) -> None:
        """A call begins that takes so much."""
        left = self.there_mj(since_ms, watts) - energy_mj
        self.left_mj = max(left, -self._holds)
