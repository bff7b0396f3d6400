"""The record of what was private: it survives JSON, and says which engines could be built."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from tipsc.pipeline.climbs import PathClimb, Trade, Tried, trades
from tipsc.quality import Quality


def share(value: float) -> Quality:
    return Quality("accuracy", value, "share")


def losing() -> PathClimb:
    """Loses two points; the head wins back half of one for 10 bytes, all are 100."""
    return PathClimb(
        "a", share(0.80), share(0.82), 0.02, 0.004, bytes=60, all_bytes=100, left=0.004,
        tried=(
            Tried("head", 10, share(0.805), 0.005, 0.002, 0.015, True),
            Tried("0", 60, share(0.816), 0.011, 0.003, 0.004, True),
        ),
    )  # fmt: skip


def content() -> PathClimb:
    """Gains half a point by sharing."""
    return PathClimb("b", share(0.9), share(0.895), -0.005, 0.003, 0, 400, -0.005, ())


def test_it_survives_json() -> None:
    for climb in (losing(), content()):
        assert PathClimb.from_json(json.loads(json.dumps(asdict(climb)))) == climb


def test_engines_that_could_be_built_are_in_the_order_of_gain_for_bytes() -> None:
    found = trades([losing(), content()])
    assert [(t.label, t.bytes) for t in found] == [
        ("all shared", 0),
        ("a: head", 10),
        ("a: 0", 60),
        ("a: all", 100),
        ("each path alone", 500),
        ("as it ships", 60),
    ]
    assert [t.mean for t in found] == pytest.approx([0.0075, 0.005, -0.0005, -0.0025, 0, -0.0005])
    assert [t.worst for t in found] == pytest.approx([0.02, 0.015, 0.004, 0, 0, 0.004])


def test_no_engine_is_worse_than_the_one_before_it() -> None:
    worse = Tried("bias", 0, share(0.7), -0.1, 0.002, 0.12, False)
    climb = losing()
    found = trades([PathClimb(**{**vars(climb), "tried": (worse, *climb.tried)})])
    assert "a: bias" not in [t.label for t in found]
    assert found[0] == Trade("all shared", 0, 0.02, 0.02)
