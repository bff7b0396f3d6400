"""Numbers as text, the same on the page, in tables and in the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TypeGuard

MISSING = "–"


def is_number(value: float | None) -> TypeGuard[float]:
    """Whether there is a finite value to show."""
    return value is not None and math.isfinite(value)


def percent(fraction: float | None, decimals: int = 2) -> str:
    """0.8637 -> ``86.37`` (without the sign, which belongs to the heading)."""
    if not is_number(fraction):
        return MISSING
    return f"{fraction * 100:.{decimals}f}"


def significant(value: float | None, digits: int = 3) -> str:
    """A plain decimal number with `digits` significant digits: 0.0423, 1.23, 123, 1234."""
    if not is_number(value):
        return MISSING
    return f"{value:.{_decimals(value, digits)}f}"


def milliseconds(values: Iterable[float | None]) -> list[str]:
    """A column of latencies that lines up: all with the decimals that the smallest needs."""
    column = list(values)
    known = [abs(value) for value in column if is_number(value) and value]
    decimals = min(_decimals(min(known), 3), 4) if known else 2
    return [f"{value:.{decimals}f}" if is_number(value) else MISSING for value in column]


def count(value: float | None) -> str:
    """3504872 -> ``3.50 M``."""
    return _scaled(value, ("", "k", "M", "G", "T"), "")


def byte_size(value: float | None) -> str:
    """14188544 -> ``14.2 MB`` (a megabyte is 10^6 bytes)."""
    return _scaled(value, ("", "k", "M", "G", "T"), "B")


def duration(seconds: float | None) -> str:
    """``0.42 s``, ``4.20 s``, ``1 min 05 s``, ``2 h 03 min``."""
    if not is_number(seconds):
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.{1 if seconds >= 10 else 2}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def heading(name: str) -> str:
    """``error`` -> ``Error``; ``mAP`` stays as it is."""
    return name if any(map(str.isupper, name)) else name.capitalize()


def plural(number: int, noun: str) -> str:
    """``1 path``, ``2 paths``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def moment(iso: str) -> str:
    """``2026-01-02T03:04:05+00:00`` -> ``2026-01-02 03:04 UTC``; other text as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(\.\d+)?)?(Z|\+00:00)?", iso)
    return f"{found[1]} {found[2]} UTC" if found else iso


def ratio(value: float | None) -> str:
    """``4.1×``."""
    return f"{significant(value, 2)}×" if is_number(value) else MISSING


def tiny(value: float | None) -> str:
    """A relative difference: ``3.1e-7``."""
    if not is_number(value):
        return MISSING
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def shortened(text: str, limit: int) -> str:
    """`text`, its middle left out where it has more than `limit` characters."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def _decimals(value: float, digits: int) -> int:
    if value == 0:
        return digits - 1
    # The exponent after rounding, so that 9.996 becomes 10.0 and not 10.00.
    exponent = int(f"{abs(value):.{digits - 1}e}".split("e")[1])
    return max(0, digits - 1 - exponent)


def _scaled(value: float | None, prefixes: tuple[str, ...], unit: str) -> str:
    if not is_number(value):
        return MISSING
    power = 0
    while power + 1 < len(prefixes) and abs(value) >= 999.5:
        value /= 1000
        power += 1
    number = f"{value:.0f}" if power == 0 else significant(value)
    return f"{number} {prefixes[power]}{unit}".rstrip()
