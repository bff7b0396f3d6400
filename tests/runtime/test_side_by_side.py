"""Versions side by side: who gets which, and that it stays so."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from test_governor import Device, governed

from tipsc.errors import UsageError
from tipsc.runtime import SideBySide

KEYS = [f"device-{number}" for number in range(20_000)]


def versions(shares: dict[str, float], salt: str = "") -> SideBySide:
    return SideBySide({name: governed(Device()) for name in shares}, shares, salt=salt)


def test_each_version_has_its_share_of_keys() -> None:
    split = versions({"new": 0.1, "old": 0.85, "off": 0.0, "rest": 0.05})
    found = Counter(map(split.version, KEYS))
    # Of n draws a share p lies within five standard deviations, sqrt(p (1 - p) / n).
    for name, share in (("new", 0.1), ("old", 0.85), ("rest", 0.05)):
        assert found[name] / len(KEYS) == pytest.approx(
            share, abs=5 * (share * (1 - share) / len(KEYS)) ** 0.5
        )
    assert set(found) == {"new", "old", "rest"}


def test_keys_only_move_to_a_first_version_that_grows() -> None:
    small, large = versions({"new": 0.1, "old": 0.9}), versions({"new": 0.3, "old": 0.7})
    moved = Counter((small.version(key), large.version(key)) for key in KEYS)
    assert moved["new", "old"] == 0
    assert moved["old", "new"] > 0.15 * len(KEYS)


def test_another_salt_gives_groups_of_their_own() -> None:
    one, two = (versions({"new": 0.5, "old": 0.5}, salt) for salt in ("one", "two"))
    both = sum(one.version(key) == two.version(key) for key in KEYS)
    assert both / len(KEYS) == pytest.approx(0.5, abs=0.02)


def test_a_key_s_place_is_as_the_documentation_says() -> None:
    """SHA-256 of a zero byte and "a" begins with 02 2a 69 79: 0.00846 of the way."""
    assert versions({"new": 0.0084, "old": 0.9916}).version("a") == "old"
    assert versions({"new": 0.0085, "old": 0.9915}).version("a") == "new"


def test_a_call_runs_on_the_version_of_its_key() -> None:
    fast, slow = Device(), Device(3.0)
    both = SideBySide({"new": governed(fast), "old": governed(slow)}, {"new": 0.5, "old": 0.5})
    for key in KEYS[:50]:
        version, result = both.run(0, key=key, budget_ms=30)
        assert version == both.version(key)
        assert result.output == 0
    assert 0 < fast.now < slow.now


@pytest.mark.parametrize(
    "shares",
    [
        {"new": 0.1},
        {"new": 0.1, "older": 0.9},
        {"new": 0.1, "old": 0.8},
        {"new": -0.1, "old": 1.1},
        {"new": float("nan"), "old": 1.0},
        {},
    ],
)
def test_shares_that_are_none_are_refused(shares: dict[str, Any]) -> None:
    governors = {"new": governed(Device()), "old": governed(Device())}
    with pytest.raises(UsageError, match="shares"):
        SideBySide(governors, shares)
