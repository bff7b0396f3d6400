"""When a measurement is called doubtful: on counters as `benchmarks/quiet.py` sees them."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import pytest

from tipsc.measure.disturbance import Disturbance, joined, noise_of, remark_of, severity

QUIET = Disturbance(others=0.04, stolen=0.003, visits=500, disturbed=0, waited=0.001, spread=1.6)


def test_a_free_core_is_not_accused() -> None:
    assert noise_of(QUIET, drift=0.05) == ""
    assert noise_of(replace(QUIET, disturbed=None, waited=None)) == ""
    passing = Disturbance(others=0.08, visits=500, repeated=60, disturbed=20, waited=0.01)
    assert noise_of(passing) == ""
    assert "60 of 500 visits" in remark_of(passing)


@pytest.mark.parametrize(
    ("found", "drift", "said"),
    [
        (
            Disturbance(others=0.43, visits=500, disturbed=305, waited=0.4),
            0.0,
            "other work took 43% of the core while this was measured (61% of the visits were "
            "disturbed); latencies are too high; run again with --wait-quiet 60",
        ),
        (Disturbance(visits=100, disturbed=6), 0.0, "other work had the core at times"),
        (Disturbance(others=0.4), 0.0, "other work took 40% of the cores"),
        (Disturbance(others=0.4, visits=9, disturbed=0, threaded=True), 0.0, "took 40% of the"),
        (Disturbance(others=0.0, stolen=0.2, disturbed=0), 0.0, "virtual machines took 20%"),
        (Disturbance(throttled=True), 0.0, "heat slowed the processor down"),
        (QUIET, 0.15, "calls were 15% slower at the end"),
        (QUIET, -0.15, "calls were 15% faster at the end"),
        (Disturbance(spread=2.5), 0.0, "p95 is 2.5 x p50"),
    ],
)
def test_what_disturbs_is_named(found: Disturbance, drift: float, said: str) -> None:
    assert said in noise_of(found, drift)


def test_one_thread_that_never_waited_was_not_disturbed() -> None:
    """Others may have had its core before its visits, but not during those that count."""
    assert noise_of(Disturbance(others=0.4, visits=500, repeated=170, disturbed=5)) == ""


def test_what_was_done_is_told() -> None:
    found = Disturbance(others=0.0, disturbed=0, measured=2, paused_s=12.4)
    assert remark_of(found) == (
        "waited 12 s for the machine to become quiet; measured 2 times, of which the quietest "
        "counts"
    )
    assert remark_of(QUIET) == ""
    assert "does not tell" in remark_of(Disturbance())


def test_the_quieter_of_two_comes_first() -> None:
    loud = Disturbance(others=0.5, visits=100, disturbed=80, waited=0.4)
    assert severity(QUIET) < severity(loud)


def test_two_measurements_beside_each_other_are_as_doubtful_as_the_worse() -> None:
    loud = Disturbance(others=0.5, visits=100, disturbed=80, waited=0.4, throttled=True, spread=3)
    both = joined(QUIET, loud)
    assert (both.others, both.visits, both.disturbed) == (0.5, 600, 80)
    assert both.throttled and both.spread == 3
    assert joined(Disturbance(), QUIET).disturbed == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, "0.1", None, [1]])
@pytest.mark.parametrize("name", ["spread", "visits", "paused_s", "threaded"])
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Disturbance.of({name: value})


def test_it_goes_over_a_link_and_back() -> None:
    assert Disturbance.of({**asdict(QUIET), "of a later version": 1}) == QUIET
