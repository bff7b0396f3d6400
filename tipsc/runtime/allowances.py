"""How many late calls may still come: what the estimate promises is checked by what comes."""

from __future__ import annotations

#: share of calls in time that is aimed at
AIM = 0.985
#: late calls that may be owed, and saved up
OWED, SAVED = -2.0, 3.0


class Allowances:
    """Late calls that may still come, of all paths and of each, by its id.

    Each call adds to all of them. That is done when one is looked at: a call costs O(1).
    """

    def __init__(self) -> None:
        self.of_all = 0.0
        self._calls = 0
        self._own: dict[str, tuple[float, int]] = {}  # as it was after so many calls

    def own(self, path_id: str) -> float:
        value, calls = self._own.get(path_id, (0.0, 0))
        return min(value + (self._calls - calls) * (1 - AIM), SAVED)

    def add(self, path_id: str, late: bool) -> None:
        """One call of that path."""
        self.of_all = min(max(self.of_all + 1 - AIM - late, OWED), SAVED)
        self._calls += 1
        if late:
            self._own[path_id] = (max(self.own(path_id) - 1, OWED), self._calls)
