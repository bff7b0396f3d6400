"""Calls after pauses are timed by themselves, and become a part of the manifest's latency."""

from __future__ import annotations

import pytest

from tipsc.engine import Latency
from tipsc.engine.manifest import Manifest, PathEntry
from tipsc.errors import EngineDamagedError, ProfileError
from tipsc.measure.pauses import collect_pauses
from tipsc.paths import Choice, SearchSpace
from tipsc.pipeline.latencies import with_latencies
from tipsc.profile import Measurement
from tipsc.profile.latency import Samples
from tipsc.signature import Signature, TensorSpec


class Machine:
    """Calls take 1 and 3 ms; 0.4 ms more when the last one was 5 ms ago or longer."""

    def __init__(self) -> None:
        self.now = self.last = 0
        self.slept = 0.0

    def call(self, ms: float) -> None:
        self.now += round((ms + 0.4 * (self.now - self.last >= 5e6)) * 1e6)
        self.last = self.now

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += round(seconds * 1e9)


@pytest.mark.parametrize(("every", "extra"), [(20.0, 0.4), (1.0, 0.0)])
def test_every_timed_call_follows_a_pause(every: float, extra: float) -> None:
    machine = Machine()
    calls = {"a": lambda: machine.call(1), "b": lambda: machine.call(3)}
    found = collect_pauses(
        calls, (), every_ms=every, rounds=7, sleep=machine.sleep, clock=lambda: machine.now
    )
    assert found == {"a": [pytest.approx(1 + extra)] * 7, "b": [pytest.approx(3 + extra)] * 7}
    assert machine.slept == pytest.approx(14 * every / 1e3)


def measured() -> tuple[Manifest, Measurement]:
    entries = tuple(PathEntry(i, {"w": o}, None, None, 1, 1, 0, 0) for i, o in (("a", 1), ("b", 2)))
    tensors = (TensorSpec("x", "float32", (1, 2), "N-"),)
    space = SearchSpace((Choice("w", (1, 2)),))
    signature = Signature.plain(tensors, tensors)
    manifest = Manifest("m", "host", "onnxruntime", signature, entries, space.to_json())
    batches = {"a": [[10**6] * 4] * 4, "b": [[2 * 10**6] * 4] * 4}
    return manifest, Samples(batches, (), 1.0).summarise()


def test_the_extra_time_after_a_pause_is_recorded_and_read_back() -> None:
    manifest, measurement = measured()
    told = with_latencies(manifest, measurement, {"a": [1.2, 1.3, 9.0], "b": [2.5]})
    assert [p.latency.pause_ms for p in told.paths] == [pytest.approx(0.3), pytest.approx(0.5)]
    assert Manifest.from_json(told.to_json()) == told
    assert all(p.latency.pause_ms is None for p in with_latencies(manifest, measurement).paths)


def test_energies_are_recorded_where_they_were_measured_and_old_ones_go() -> None:
    manifest, measurement = measured()
    told = with_latencies(manifest, measurement, energies={"a": 2.5})
    assert [path.energy_mj for path in told.paths] == [2.5, None]
    assert ["energy_mj" in path for path in told.to_json()["paths"]] == [True, False]
    assert Manifest.from_json(told.to_json()) == told
    assert [path.energy_mj for path in with_latencies(told, measurement).paths] == [None, None]


@pytest.mark.parametrize("times", [[], [float("nan")], [1.0, -1.0], [float("inf")], [0.0]])
def test_what_is_no_time_is_refused(times: list[float]) -> None:
    manifest, measurement = measured()
    with pytest.raises(ProfileError, match="a call after a pause"):
        with_latencies(manifest, measurement, {"a": times, "b": [2.5]})


def test_a_manifest_with_an_impossible_pause_is_damaged() -> None:
    with pytest.raises(EngineDamagedError, match="not a time"):
        Latency(1.0, 2.0, 3.0, float("nan"))
