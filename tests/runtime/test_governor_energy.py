"""What a governor does with energy: a cap for each call, and a power that is kept in the mean."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_governor import PATHS, Device

from tipsc.engine.manifest import PathEntry
from tipsc.errors import BudgetError, EngineDamagedError, UsageError
from tipsc.quality import Quality
from tipsc.runtime import Governor, Latency, Mode, Reason
from tipsc.runtime.account import HELD, Account
from tipsc.runtime.pick import worth
from tipsc.runtime.rule import ENOUGH, Rule

#: 3, 6, 12, 24, 48 mJ: 3 W while they run
COSTED = tuple(replace(path, energy_mj=3.0 * path.latency.p50_ms) for path in PATHS)


class Costed(Device):
    paths = COSTED

    def __init__(self, **options: float) -> None:
        super().__init__(**options)
        self.spent_mj = 0.0

    def run(self, x: object, *, path: PathEntry) -> object:
        self.spent_mj += path.energy_mj
        return super().run(x, path=path)


def governed(device: Device, fallback: str = "raise") -> Governor:
    return Governor(device, clock=device.clock, fallback=fallback)


@st.composite
def some_paths(draw: st.DrawFn) -> list[PathEntry]:
    """In any order of time, energy and quality; at least one has an energy."""
    whole = st.integers(1, 8)
    known = draw(st.lists(st.tuples(whole, whole, st.none() | whole), max_size=6))
    known.append(draw(st.tuples(whole, whole, whole)))
    return [
        PathEntry(
            f"p{i}", {}, Quality("accuracy", good / 10), Latency(ms * 0.9, ms, ms * 1.1),
            0, 0, 0, 0, energy_mj=mj,
        )
        for i, (ms, good, mj) in enumerate(known)
    ]  # fmt: skip


calls = st.lists(st.tuples(st.floats(0.5, 12), st.floats(0.5, 12), st.floats(0.5, 30)), max_size=20)


def used(paths: list[PathEntry], calls: Any) -> Rule:
    """A rule after some calls by energy: their cap, their budget, what they took."""
    rule = Rule(paths)
    for cap, budget, elapsed in calls:
        rule.learn(rule.by_energy(0.0, budget, cap), elapsed)
    return rule


@settings(deadline=None)
@given(some_paths(), calls, st.floats(0.1, 10), st.floats(0.5, 20) | st.just(math.inf))
def test_nothing_above_the_cap_runs_while_something_keeps_it(
    paths: list[PathEntry], calls: Any, cap: float, budget: float
) -> None:
    decision = used(paths, calls).by_energy(0.0, budget, cap)
    energies = [path.energy_mj for path in paths if path.energy_mj is not None]
    assert decision.path.energy_mj is not None
    if min(energies) <= cap:
        assert decision.path.energy_mj <= cap
        assert decision.reason is not Reason.TOO_COSTLY
    else:
        assert decision.path.energy_mj == min(energies)
        assert decision.reason is Reason.TOO_COSTLY


@settings(deadline=None)
@given(some_paths(), calls, st.floats(1, 10), st.floats(0, 5))
def test_a_larger_cap_gives_no_worse_path(
    paths: list[PathEntry], calls: Any, cap: float, more: float
) -> None:
    rule = used(paths, calls)
    less, most = (rule.by_energy(0.0, 1e12, mj) for mj in (cap, cap + more))
    none_rests = all(rule.rested(Mode.ENERGY, path) for path in paths)
    if less.reason is not Reason.TOO_COSTLY and none_rests:
        assert worth(less.path) <= worth(most.path)


@settings(deadline=None)
@given(some_paths(), st.floats(1, 10), st.floats(0, 5), st.floats(0.5, 12))
def test_a_larger_cap_gives_no_worse_path_in_time(
    paths: list[PathEntry], cap: float, more: float, budget: float
) -> None:
    rule = Rule(paths)
    less, most = (rule.by_energy(0.0, budget, mj) for mj in (cap, cap + more))
    in_time = {p.path.id for p in rule.front_of(less)
               if p.share(rule.estimate.chances(0.0, budget)) >= ENOUGH}  # fmt: skip
    if less.path.id in in_time:
        assert worth(less.path) <= worth(most.path)


@settings(deadline=None)
@given(some_paths(), st.floats(0.5, 12))
def test_a_cap_that_all_keep_decides_as_a_deadline_does(
    paths: list[PathEntry], budget: float
) -> None:
    rule = Rule([replace(path, energy_mj=path.energy_mj or 1.0) for path in paths])
    assert rule.by_energy(0.0, budget, 8.0).path == rule.by_deadline(0.0, budget).path


@settings(deadline=None)
@given(
    st.floats(0.01, 5),
    st.lists(
        st.tuples(st.floats(0, 200) | st.just(0.0), st.none() | st.floats(3, 60)), max_size=80
    ),
)
def test_a_power_is_kept_whenever_calls_come(watts: float, arrivals: Any) -> None:
    device = Costed()
    governor, begun, refused = governed(device), device.now, 0
    for gap_ms, cap in arrivals:
        device.now += gap_ms / 1e3
        try:
            governor.run(0, watts=watts, budget_mj=cap)
        except BudgetError:
            refused += 1
        flowed = watts * (device.now - begun) * 1e3
        assert device.spent_mj <= flowed + HELD * 48.0 + 1e-6
    if watts * 1e3 / len(arrivals or [0]) > 1e3:
        assert not refused


@pytest.mark.parametrize("watts", [0.2, 0.5, 1.0, 1.4])
def test_calls_take_what_flows_in(watts: float) -> None:
    """Of 30 calls a second: 6.7 to 47 mJ for each of them."""
    device, n = Costed(noise=0.03), 600
    governor = governed(device)
    for turn in range(n):
        device.now = max(device.now, turn / 30)
        governor.run(0, watts=watts, budget_ms=30)
        if turn == 100:
            spent, begun = device.spent_mj, device.now
    mean = (device.spent_mj - spent) / (device.now - begun) / 1e3
    assert mean == pytest.approx(watts, rel=0.04)


def test_a_burst_gets_smaller_paths_step_by_step() -> None:
    device = Costed()
    governor, ran = governed(device), []
    with pytest.raises(BudgetError, match="which is what 1e-06 W leave"):
        while len(ran) < 100:
            ran.append(governor.run(0, watts=1e-6).path.id)
    assert len(ran) > 30
    assert ran == sorted(ran, reverse=True)
    assert set(ran) == {"p0", "p1", "p2", "p3", "p4"}


def test_a_call_may_be_kept_to_less_energy_and_to_a_time() -> None:
    governor = governed(Costed())
    result = governor.run(0, budget_mj=25)
    assert (result.path.id, result.mode, result.budget_mj) == ("p3", Mode.ENERGY, 25)
    assert result.budget_ms == math.inf
    assert result.in_time
    assert governor.run(0, budget_mj=25, budget_ms=5).path.id == "p2"
    assert governor.run(0, budget_mj=6, budget_ms=50).path.id == "p1"
    assert governor.run(0, budget_mj=6, budget_ms=50, watts=99).path.id == "p1"


def test_where_nothing_is_as_thrifty_it_says_what_the_thriftiest_takes() -> None:
    with pytest.raises(BudgetError, match=r"no path takes 2.5 mJ .*p0, takes 3 mJ.*budget_mj >= 3"):
        governed(Costed()).run(0, budget_mj=2.5)
    result = governed(Costed(), "fastest").run(0, budget_mj=2.5)
    assert (result.path.id, result.reason) == ("p0", Reason.TOO_COSTLY)


def test_where_nothing_is_left_it_refuses_until_enough_has_come() -> None:
    device = Costed()
    governor = governed(device)
    with pytest.raises(BudgetError, match=r"which is what 0.1 W leave now: .*expected more watts"):
        for _ in range(200):
            governor.run(0, watts=0.1)
    device.now += 3.0 / 0.1 / 1e3  # for one call
    assert governor.run(0, watts=0.1).path.id == "p0"
    with pytest.raises(BudgetError):
        governor.run(0, watts=0.1)
    lax, other = Costed(), 0.0
    running = governed(lax, "fastest")
    for _ in range(300):
        other = running.run(0, watts=0.1).path.energy_mj
    assert other == 3.0


def test_asking_and_explaining_spends_nothing() -> None:
    device = Costed()
    governor = governed(device)
    governor.run(0, watts=1.0)
    left = governor.explain(watts=1.0).left_mj
    for _ in range(50):
        governor.pick(watts=1.0)
        governor.explain(watts=1.0)
    assert governor.explain(watts=1.0).left_mj == left == HELD * 48 - 48


class Together(Costed):
    """Calls wait until four of them run."""

    def __init__(self) -> None:
        super().__init__()
        self.all_run = threading.Barrier(4)

    def run(self, x: object, *, path: PathEntry) -> object:
        self.all_run.wait(60)
        return super().run(x, path=path)


def test_calls_that_run_at_once_do_not_spend_the_same_watts() -> None:
    device = Together()
    governor = governed(device)
    governor.explain(watts=1.0)
    threads = [
        threading.Thread(target=governor.run, args=(0,), kwargs={"watts": 1.0}) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = governor.explain(watts=1e-9).left_mj
    assert left == pytest.approx(HELD * 48 - device.spent_mj)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"budget_mj": 3, "per_second": 3}, "held to one thing"),
        ({"watts": 3, "per_second": 3}, "held to one thing"),
        ({"watts": 3, "path": "p0"}, "held to one thing"),
        ({"budget_mj": 0}, "no energy of a call"),
        ({"budget_mj": math.inf}, "no energy of a call"),
        ({"budget_mj": True}, "no energy of a call"),
        ({"watts": -1}, "no power"),
        ({"watts": "1"}, "no power"),
        ({"watts": 1, "budget_ms": 0}, "no time budget"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        governed(Costed()).run(0, **asked)


@pytest.mark.parametrize("name", ["budget_mj", "watts"])
def test_an_engine_without_energies_says_so(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name}: no path of this engine has a measured energy"):
        governed(Device()).run(0, **{name: 5.0})


def test_an_explanation_says_what_each_path_takes() -> None:
    class Some(Device):
        paths = (
            *(replace(path, energy_mj=None) if path.id == "p1" else path for path in COSTED),
            replace(COSTED[0], id="dull", latency=COSTED[2].latency),
        )

    told = governed(Some()).explain(budget_mj=25, budget_ms=6)
    assert {o.path.id: o.verdict for o in told.outlooks} == {
        "p0": "fits",
        "p1": "its energy was not measured",
        "p2": "runs",
        "dull": "a faster path is as good",
        "p3": "would be late too often",
        "p4": "takes more energy",
    }
    first, *others = str(told).splitlines()
    assert "(budget 6 ms, at most 25 mJ, slowdown 1," in first
    assert others[3] == "  p2              4.000 ms   12.000 mJ  100.0% in time  runs"


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_a_path_with_an_impossible_energy_is_damaged(wrong: float) -> None:
    with pytest.raises(EngineDamagedError, match="not a positive energy"):
        replace(PATHS[0], energy_mj=wrong)


def test_an_account_never_owes_more_than_it_holds() -> None:
    account = Account([1.0, 2.0])
    for _ in range(100):
        account.spend(0.0, 1.0, 2.0)
    assert account.left_mj == -HELD * 2.0
    assert account.cap_mj(0.0, 1.0) == 0.0
    assert account.cap_mj(math.inf, 1.0) == 4.0
