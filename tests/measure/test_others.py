"""What the kernel counts, from files as it writes them, and what is made of two readings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tipsc.measure.others import Counters, Others, Waiting, others_between, read_counters

STAT = """cpu  300 0 100 9000 0 0 0 7 0 0
cpu0 100 10 50 4500 5 1 2 3 0 0
cpu1 200 0 50 4500 0 0 0 4 0 0
intr 1 2 3
cpu2 broken line
cpux 1 1 1 1 1 1 1 1
"""


def reading(at_s: float, own_s: float, busy: float, other: float = 0.0, stolen: float = 0.0):
    return Counters(at_s, own_s, {0: busy, 1: other}, {0: stolen, 1: 0.0}, {}, cooled=False)


def test_the_time_of_each_core_is_read(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(STAT)
    found = read_counters(tmp_path)
    assert found.busy_s == {0: 1.63, 1: 2.5}
    assert found.stolen_s == {0: 0.03, 1: 0.04}
    assert found.own_s > 0


def test_own_work_is_no_others() -> None:
    before, after = reading(0.0, 1.0, 10.0), reading(10.0, 10.8, 19.8)
    assert others_between(before, after, (0,)) == Others(0.0, 0.0, False)


def test_others_have_what_is_left_of_the_cores_that_are_asked_about() -> None:
    before = reading(0.0, 1.0, 10.0, 5.0)
    after = reading(10.0, 6.0, 20.0, 15.0, stolen=1.0)
    found = others_between(before, after, (0,))
    assert found.others == pytest.approx(0.5, abs=0.01)
    assert found.stolen == pytest.approx(0.1)
    everywhere = others_between(before, after, ())
    assert everywhere.others == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (reading(0.0, 0.0, 0.0), reading(0.1, 0.1, 0.1)),  # ten ticks
        (reading(0.0, 0.0, 0.0), reading(10.0, 9.0, 0.0)),  # a sandbox's /proc/stat of zeros
        (Counters(0.0, 0.0, {}, {}, {}, False), Counters(9.0, 9.0, {}, {}, {}, False)),
    ],
)
def test_what_cannot_be_told_is_none_and_not_zero(before: Counters, after: Counters) -> None:
    found = others_between(before, after, (0,))
    assert (found.others, found.stolen) == (None, None)


def test_a_system_without_proc_tells_nothing(tmp_path: Path) -> None:
    found = read_counters(tmp_path)
    assert found.busy_s == {}
    assert not found.cooled
    with Waiting(root=tmp_path) as waiting:
        waiting.begin()
        assert waiting.nanoseconds() is None


def test_heat_that_slows_cores_down_is_seen(tmp_path: Path) -> None:
    count = tmp_path / "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count"
    count.parent.mkdir(parents=True)
    count.write_text("7\n")
    before = read_counters(tmp_path)
    assert not others_between(before, read_counters(tmp_path), ()).throttled
    count.write_text("8\n")
    assert others_between(before, read_counters(tmp_path), ()).throttled


@pytest.mark.parametrize(
    ("kind", "state", "slowed"),
    [("thermal-cpufreq-0", "2", True), ("thermal-cpufreq-0", "0", False), ("pwm-fan", "3", False)],
)
def test_a_kernel_that_cools_by_slower_clocks_is_seen(
    kind: str, state: str, slowed: bool, tmp_path: Path
) -> None:
    device = tmp_path / "sys/class/thermal/cooling_device0"
    device.mkdir(parents=True)
    (device / "type").write_text(f"{kind}\n")
    (device / "cur_state").write_text(f"{state}\n")
    found = read_counters(tmp_path)
    assert others_between(found, found, ()).throttled is slowed


def test_a_thread_waits_as_long_as_the_kernel_says(tmp_path: Path) -> None:
    file = tmp_path / "proc/thread-self/schedstat"
    file.parent.mkdir(parents=True)
    file.write_text("100000 2000000000 7\n")
    with Waiting(root=tmp_path) as waiting:
        waiting.begin()
        file.write_text("100000 5000000000 7\n")
        waited = waiting.nanoseconds()
    assert waited is not None
    assert 2e9 < waited <= 3e9  # less what other threads of this process did in between
    with Waiting(False, root=tmp_path) as silent:
        silent.begin()
        assert silent.nanoseconds() is None
