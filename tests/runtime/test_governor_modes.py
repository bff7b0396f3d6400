"""What a governor can be asked for beside a deadline, and what it says of its calls."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
from test_governor import PATHS, Device, governed

from tipsc.errors import BudgetError, PathError, UsageError
from tipsc.runtime import CallRecord, Governor, Mode, PathEntry, Reason


def test_a_throughput_is_kept_in_the_mean_and_bursts_are_paid() -> None:
    device = Device(noise=0.03)
    governor = governed(device)
    results = []
    for turn in range(300):
        device.factor = 2.5 if turn % 60 < 6 else 1.0
        results.append(governor.run(0, per_second=100))
    mean = sum(r.elapsed_ms for r in results) / len(results)
    assert mean <= 10.05  # a few calls' debt may stand open at the end
    assert sum(r.path == PATHS[3] for r in results) > 0.7 * len(results)
    assert {r.mode for r in results} == {Mode.THROUGHPUT}
    assert results[0].budget_ms == pytest.approx(10)


def test_a_throughput_that_nothing_keeps_is_refused_or_runs_the_fastest() -> None:
    device = Device()
    strict = Governor(device, clock=device.clock)
    with pytest.raises(BudgetError, match=r"takes 1 ms .*expected per_second <= 1e\+03"):
        strict.run(0, per_second=1500)
    assert governed(device).run(0, per_second=1500).path == PATHS[0]


def test_a_pinned_path_runs_in_any_budget_and_teaches() -> None:
    device = Device(3.0)
    governor = governed(device)
    for _ in range(10):
        result = governor.run(0, path=PATHS[1])
    assert (result.path, result.reason, result.mode) == (PATHS[1], Reason.PINNED, Mode.PINNED)
    assert result.in_time
    assert result.budget_ms == math.inf
    assert governor.slowdown == pytest.approx(3, rel=0.05)
    late = governor.run(0, path="p4", budget_ms=20)
    assert (late.path, late.in_time) == (PATHS[4], False)
    assert governor.pick(budget_ms=30) == PATHS[3]  # that call was not its decision


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"per_second": 30, "budget_ms": 3}, "held to one thing"),
        ({"per_second": 30, "path": "p0"}, "held to one thing"),
        ({}, "no time budget"),
        ({"per_second": 0}, "no rate"),
        ({"per_second": math.inf}, "no rate"),
        ({"per_second": "30"}, "no rate"),
        ({"path": "p0", "budget_ms": -1}, "no time budget"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        governed(Device()).run(0, **asked)


def test_a_path_that_is_not_there_is_refused() -> None:
    with pytest.raises(PathError, match=r"knows no path 'p9'; did you mean p4"):
        governed(Device()).run(0, path="p9")


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "3"])
def test_a_hysteresis_is_a_number_of_calls(wrong: Any) -> None:
    with pytest.raises(UsageError, match="no number of calls"):
        Governor(Device(), hysteresis=wrong)


def test_with_hysteresis_a_better_path_waits_and_a_faster_one_does_not() -> None:
    device = Device()
    governor = Governor(device, clock=device.clock, hysteresis=3)
    assert [governor.run(0, budget_ms=ms).path.id for ms in (5, 18, 18, 18, 18, 5, 18)] == [
        "p2", "p2", "p2", "p2", "p4", "p2", "p2",
    ]  # fmt: skip


def test_each_call_is_recorded_when_it_has_ended() -> None:
    device, seen = Device(2.0), list[CallRecord]()
    governor = Governor(device, clock=device.clock, on_call=seen.append, fallback="fastest")
    results = [governor.run(0, budget_ms=ms) for ms in (18.0, 9.0, 0.5)]
    governor.observe(PATHS[0], 2.0)  # is no call of its own
    assert seen == results
    first, _, last = seen
    assert (first.path, first.gap_ms, first.slowdown, first.in_time) == (
        PATHS[4],
        math.inf,
        1,
        False,
    )
    assert (last.reason, last.predicted_ms) == (Reason.TOO_LATE, results[2].predicted_ms)
    assert last.ended == device.clock()


def test_what_a_hook_raises_comes_out_and_the_call_was_learned() -> None:
    def hook(_: CallRecord) -> None:
        raise OSError("the disk is full")

    device = Device(2.0)
    governor = Governor(device, clock=device.clock, on_call=hook)
    with pytest.raises(OSError, match="the disk is full"):
        governor.run(0, budget_ms=40)
    assert governor.slowdown > 1.05


def test_a_hook_may_ask_the_governor() -> None:
    device, seen = Device(), list[PathEntry]()
    governor: Governor

    def hook(_: CallRecord) -> None:
        seen.append(governor.pick(budget_ms=5))

    governor = Governor(device, clock=device.clock, on_call=hook)
    governor.run(0, budget_ms=18)
    assert seen == [PATHS[2]]


class Stuck(Device):
    """Its first call does not come back until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let = threading.Event(), threading.Event()

    def run(self, x: object, *, path: PathEntry) -> object:
        if not self.entered.is_set():
            self.entered.set()
            assert self.let.wait(60)
        return super().run(x, path=path)


def test_no_call_waits_for_another() -> None:
    device = Stuck()
    governor = governed(device)
    first = threading.Thread(target=governor.run, args=(0,), kwargs={"budget_ms": 18})
    first.start()
    try:
        assert device.entered.wait(60)
        assert governor.run(0, budget_ms=18).path == PATHS[4]
        governor.observe(PATHS[0], 1.0)
        assert governor.explain(budget_ms=18).decision.path == PATHS[4]
        assert first.is_alive()
    finally:
        device.let.set()
        first.join()


def test_an_explanation_says_what_would_run_and_why_not_the_others() -> None:
    class Dominated(Device):
        paths = (*PATHS, PathEntry("dull", {}, PATHS[0].quality, PATHS[3].latency, 0, 0, 0, 0))

    device = Dominated(1.5)
    governor = governed(device)
    for _ in range(60):
        governor.run(0, budget_ms=14)
    told = governor.explain(budget_ms=14)
    assert told == governor.explain(budget_ms=14)  # it changes nothing
    assert told.decision.path == governor.pick(budget_ms=14) == PATHS[3]
    assert {o.path.id: o.verdict for o in told.outlooks} == {
        "p0": "fits",
        "p1": "fits",
        "p2": "fits",
        "p3": "runs",
        "dull": "a faster path is as good",
        "p4": "would be late too often",
    }
    assert {o.path.id: o.share_in_time for o in told.outlooks} == {
        "p0": 1, "p1": 1, "p2": 1, "p3": 1, "dull": None, "p4": 0,
    }  # fmt: skip
    lines = str(told).splitlines()
    assert lines[0].startswith("p3: the most accurate path that fits (budget 14 ms, slowdown 1.5,")
    assert len(lines) == 7


def test_an_explanation_names_a_path_that_rests() -> None:
    device = Device()
    governor = governed(device)
    for _ in range(60):
        governor.run(0, budget_ms=18)
    device.factor = 3.0
    governor.run(0, budget_ms=18)  # one stray, late
    device.factor = 1.0
    verdicts = {o.path.id: o.verdict for o in governor.explain(budget_ms=18).outlooks}
    assert verdicts["p4"] == "was late too often and rests"
    assert verdicts["p3"] == "runs"


def test_a_throughput_is_explained_by_what_it_owes() -> None:
    device = Device(noise=0.02)
    governor = governed(device)
    for turn in range(30):
        device.factor = 2.5 if turn > 27 else 1.0
        governor.run(0, per_second=100)
    told = governor.explain(per_second=100)
    assert told.owed_ms > 10
    assert {o.path.id: o.verdict for o in told.outlooks}["p4"] == "would be late too often"
    assert "(period 10 ms" in str(told)
