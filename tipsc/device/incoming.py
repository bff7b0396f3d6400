"""What may come in from a device: values of known kinds, within bounds, and nothing else.

A check takes a value and the place where it stands, and gives the value or raises :class:`Wrong`.
Checks of parts make checks of wholes. What a record does not know is left out, so that nothing
enters unchecked. Depth, number of parts and finite numbers are seen to where JSON is decoded
(:func:`tipsc.device.agent.decode`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

#: characters of one text that a device tells
MOST_TEXT = 4096
#: parts of one list or table that has no size of its own
MOST_PARTS = 4096
#: an upper bound of whatever is counted or measured; also of bytes and nanoseconds
LARGEST = 1e18


class Wrong(ValueError):
    """A value that cannot be: the place of it, what was expected there, and what was found."""

    def __init__(self, place: str, expected: str, got: object) -> None:
        super().__init__(f"{place}: expected {expected}, got {shown(got)}")
        self.place, self.expected, self.got = place, expected, shown(got)


Check = Callable[[Any, str], Any]


def shown(value: object) -> str:
    """A value as a short text."""
    if isinstance(value, list | dict | tuple) and len(value) > 8:
        return f"{type(value).__name__} of {len(value)}"
    return f"{value!r:.120}"


def readable(value: object, most: int = MOST_TEXT) -> str:
    """The beginning of a text that every encoding takes: half a surrogate is none."""
    return str(value)[:most].encode("utf-8", "replace").decode()


def anything(value: Any, place: str) -> Any:
    """What has only the bounds of all JSON."""
    return value


def text(value: Any, place: str) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise Wrong(place, f"a text of at most {MOST_TEXT} characters", value)
    return readable(value)


def flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise Wrong(place, "true or false", value)
    return value


def number(low: float = -LARGEST, high: float = LARGEST) -> Check:
    """A number from `low` to `high`, both included."""

    def check(value: Any, place: str) -> Any:
        if type(value) not in (int, float) or not low <= value <= high:
            raise Wrong(place, _range("a number", low, high), value)
        return value

    return check


def whole(low: float = 0, high: float = LARGEST) -> Check:
    """A whole number from `low` to `high`, both included."""

    def check(value: Any, place: str) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise Wrong(place, _range("a whole number", low, high), value)
        return value

    return check


def _range(what: str, low: float, high: float) -> str:
    bounds = [f"from {low:g}"] * (low > -LARGEST) + [f"to {high:g}"] * (high < LARGEST)
    return " ".join([what, *bounds])


def positive(value: Any, place: str) -> float:
    """A number above 0: what takes time takes more than none."""
    if type(value) not in (int, float) or not 0 < value <= LARGEST:
        raise Wrong(place, "a number above 0", value)
    return float(value)


def optional(check: Check) -> Check:
    """None, for what a system does not tell, or what `check` takes."""
    return lambda value, place: None if value is None else check(value, place)


def listing(check: Check, low: int = 0, high: int = MOST_PARTS) -> Check:
    """A list of `low` to `high` values."""

    def checked(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list) or not low <= len(value) <= high:
            raise Wrong(place, f"a list of {low} to {high}", value)
        return [check(part, f"{place}[{index}]") for index, part in enumerate(value)]

    return checked


def table(check: Check, names: Collection[str] | None = None) -> Check:
    """Values by name.

    Args:
        names: exactly these; None: any, of which there are not too many.
    """

    def checked(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict) or (len(value) > MOST_PARTS and names is None):
            raise Wrong(place, "a table", value)
        if names is not None and value.keys() != set(names):
            raise Wrong(place, _listed(names), _listed(value))
        return {text(key, place): check(part, f"{place}.{key:.80}") for key, part in value.items()}

    return checked


def _listed(names: Collection[str]) -> str:
    told = ", ".join(f"{name:.80}" for name in sorted(names)[:8])
    return told + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"


def record(fields: Mapping[str, Check]) -> Check:
    """A table with these fields. One that is missing is None, if its check takes that."""

    def checked(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Wrong(place, "a table", value)
        return {name: check(value.get(name), f"{place}.{name}") for name, check in fields.items()}

    return checked


def one_of(known: Collection[Any]) -> Check:
    def check(value: Any, place: str) -> Any:
        if value not in known:
            raise Wrong(place, f"one of {_listed([str(name) for name in known])}", value)
        return value

    return check
