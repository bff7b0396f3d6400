"""Measuring engines here and over links: latencies, switches, memory, energy, and heat."""

from __future__ import annotations

import sys
import threading
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hog import hog, needs_schedstat

from tipsc.device import jobs
from tipsc.device.client import connect
from tipsc.device.expected import costed
from tipsc.device.measuring import Remote, ThisMachine, disturbance_told
from tipsc.device.several import TakingTurns, labels_of
from tipsc.engine import read_engine
from tipsc.errors import DeviceProtocolError, PathError
from tipsc.measure.loop import Settings
from tipsc.measure.resources import input_power, measure_energies, measure_energy, resident_mib
from tipsc.measure.sustained import Window, drift_of, sustain
from tipsc.measure.switching import switch_matrix
from tipsc.pipeline.bench import BenchOptions, measure_engine_file
from tipsc.project.target import load_target


def silent(done: float, total: float, note: str = "") -> None:
    return None


@pytest.mark.parametrize("where", ["here", "local", "ssh", "adb"])
def test_an_engine_is_measured_alike_here_and_on_a_device(
    where: str, engine_file: Path, request: pytest.FixtureRequest
) -> None:
    url = None if where == "here" else request.getfixturevalue(where)
    ids = [path.id for path in read_engine(engine_file).manifest.paths]
    found = measure_engine_file(
        engine_file, url, silent, BenchOptions(threads=1, rounds=4, sustained_s=0.2, extras=True)
    )
    assert set(found.measurement.latencies) == set(ids)
    for latency in found.measurement.latencies.values():
        assert latency.p99_ms is not None
        assert 0 < latency.p10_ms <= latency.p50_ms <= latency.p95_ms <= latency.p99_ms
    assert found.extras["switches"].keys() == set(ids)
    assert all(row.keys() == set(ids) for row in found.extras["switches"].values())
    before, after = (found.extras["memory_mib"][when] for when in ("before", "after"))
    assert min(before, after) > 0
    assert found.extras["memory_mib"]["gpu"] is None
    if url is not None:  # in a fresh process; this one may give some back to the system
        assert after > before
    assert found.extras["device_ms"] is None  # a processor has no clock of its own
    assert len(found.windows) >= 2
    assert found.windows[-1].seconds > found.windows[0].seconds
    assert found.drift is not None
    with pytest.raises(PathError, match="no path 'nope'"):
        measure_engine_file(engine_file, url, silent, BenchOptions(threads=1, only=("nope",)))


def test_litert_over_a_link(ssh: str, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    sys.path.insert(0, str(Path(__file__).parents[1] / "compile"))
    from plain_tflite import engine_of, two_widths

    from tipsc.compile.tflite.merge import merge

    models = two_widths()
    file = engine_of(tmp_path / "two.tipsc", merge(models).model, list(models))
    found = measure_engine_file(file, ssh, silent, BenchOptions(threads=1, rounds=4, extras=True))
    assert set(found.measurement.latencies) == set(models)
    assert found.extras["switches"].keys() == set(models)


class Heating:
    """A clock, and calls that take longer the longer it runs; `b` overtakes `a` on the way."""

    def __init__(self) -> None:
        self.now = 0

    def clock(self) -> int:
        return self.now

    def call(self, begin_ms: float, ms_per_s: float) -> None:
        self.now += int(1e6 * (begin_ms + ms_per_s * self.now / 1e9))

    def celsius(self) -> dict[str, float]:
        return {"cpu": 40.0 + self.now / 1e9, "case": 30.0}


def test_heat_is_seen_in_latency_ranking_and_temperature() -> None:
    device = Heating()
    calls = {
        "a": lambda: device.call(1.0, 0.1),
        "b": lambda: device.call(1.2, 0.05),
    }
    settings = Settings(10.0, 40, 5.0, 300.0, (), 0)
    windows = sustain(calls, settings, 20.0, device.celsius, None, device.clock)
    assert windows[-1].seconds == pytest.approx(20.0, rel=0.1)
    assert [w.seconds for w in windows] == sorted(w.seconds for w in windows)
    found = drift_of(windows)
    assert found.slowdown == pytest.approx((3.0 / 1.0 + 2.2 / 1.2) / 2, rel=0.1)
    assert found.rank_correlation == -1.0
    assert found.swapped == (("a", "b"),)
    assert found.warmest is not None
    assert found.warmest[0] == "cpu"
    assert found.warmest[2] - found.warmest[1] == pytest.approx(20.0, rel=0.15)


def test_a_steady_device_does_not_drift() -> None:
    steady = Window(1.0, {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.0, "b": 2.0, "c": 3.0}, {})
    found = drift_of([steady, steady])
    assert (found.slowdown, found.rank_correlation, found.swapped) == (1.0, 1.0, ())
    assert found.warmest is None
    # A change of order within the noise is none.
    close = Window(2.0, {"a": 1.0, "b": 3.01, "c": 3.0}, {}, {})
    before = Window(1.0, {"a": 1.0, "b": 3.0, "c": 3.01}, {}, {})
    assert drift_of([before, close], floor=0.02).swapped == ()
    assert drift_of([before, close]).swapped == (("b", "c"),)


def test_the_first_call_after_another_path_stands_beside_one_after_itself() -> None:
    state = {"now": 0, "last": ""}

    def call(name: str) -> None:
        state["now"] += 1_000_000 if state["last"] == name else 3_000_000
        state["last"] = name

    calls = {name: lambda name=name: call(name) for name in "abc"}
    found = switch_matrix(calls, 3, 0, lambda: state["now"])
    assert found == {x: {y: 1.0 if x == y else 3.0 for y in "abc"} for x in "abc"}


def test_energy_is_power_times_time(tmp_path: Path) -> None:
    # Files as https://docs.kernel.org/hwmon/ina3221.html says: 5 V and 1.2 A.
    sensor = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    sensor.mkdir(parents=True)
    for name, text in {"in1_label": "VDD_IN", "in1_input": "5000", "curr1_input": "1200"}.items():
        (sensor / name).write_text(text)
    power, ticks = input_power(tmp_path), count()
    found = measure_energy(lambda: next(ticks), power, seconds=0.3)
    assert found is not None
    assert (found.milliwatts, found.idle_milliwatts) == (6000.0, 6000.0)
    assert found.runs == next(ticks)
    assert found.millijoules * found.runs / found.milliwatts >= 0.3  # seconds
    assert measure_energy(lambda: None, input_power(tmp_path / "none")) is None
    assert resident_mib(tmp_path) is None


def job_here(engine_file: Path, image: np.ndarray, folder: Path) -> dict[str, float]:
    """What the device's agent runs, in this process."""
    np.save(folder / "input.npy", image)
    blobs = {"engine": engine_file, "input": folder / "input.npy"}
    (folder / "out").mkdir()
    arguments = {"threads": 1, "pin": "fastest"}
    found = jobs.energies(arguments, blobs, folder / "out", lambda *told: None)
    paths = [path.id for path in read_engine(engine_file).manifest.paths]
    return costed(paths).result(found, "result")["mj"]


def test_the_energy_of_each_path_is_measured_where_there_is_a_sensor(
    with_sensor: None, engine_file: Path, image: np.ndarray, tmp_path: Path
) -> None:
    paths = read_engine(engine_file).manifest.paths
    for found in (
        ThisMachine().energies(engine_file, load_target("host"), [image]),
        job_here(engine_file, image, tmp_path),
    ):
        assert found.keys() == {path.id for path in paths}
        assert min(found.values()) > 6 * 1e-3  # at 6 W: a call takes more than a microsecond


@pytest.mark.skipif(input_power()() is not None, reason="this machine has a power sensor")
def test_without_a_sensor_no_energy_is_told(
    local: str, engine_file: Path, image: np.ndarray
) -> None:
    target = load_target("host")
    assert ThisMachine().energies(engine_file, target, [image]) == {}
    with connect(local) as connection:
        assert Remote(connection).energies(engine_file, target, [image]) == {}


def test_a_sensor_that_is_off_tells_no_energy() -> None:
    assert measure_energies({"a": lambda: None}, lambda: 0.0, seconds=0.1) == {}


def test_devices_measure_at_once_and_all_else_takes_turns() -> None:
    together, turn = threading.Barrier(2), threading.Lock()

    class Both:
        def versions(self, name: str) -> dict[str, str]:
            together.wait(timeout=60)  # passes only when both are here
            return {}

    inside: list[int] = []

    def work() -> None:
        with turn:
            device = TakingTurns(Both(), turn)  # type: ignore[arg-type]
            for _ in range(20):
                inside.append(1)
                assert sum(inside) == 1
                inside.pop()
                device.versions("onnxruntime")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    assert not together.broken


def test_labels_tell_devices_apart() -> None:
    urls = ["ssh://pi@a.lan:22?python=/x", "ssh://pi@a.lan:22", "local", "adb://10.0.0.1:5555"]
    assert list(labels_of(urls).values()) == [
        "pi-a-lan-22", "pi-a-lan-22-2", "local", "10-0-0-1-5555"]  # fmt: skip


@needs_schedstat
@pytest.mark.parametrize("where", ["here", "local", "ssh"])
def test_other_work_is_seen_where_the_measuring_runs(
    where: str, engine_file: Path, request: pytest.FixtureRequest
) -> None:
    url = None if where == "here" else request.getfixturevalue(where)
    with hog():
        found = measure_engine_file(
            engine_file, url, silent, BenchOptions(threads=1, rounds=25, wait_quiet_s=0.6)
        )
    assert "other work took" in found.measurement.noise
    told = found.measurement.disturbance
    assert told.others is not None and told.others > 0.1
    assert told.paused_s >= 0.6
    assert told.measured == 3


@pytest.mark.parametrize("told", [None, {"spread": float("nan")}, {"others": "much"}, [1]])
def test_a_device_that_tells_of_other_work_what_cannot_be_is_refused(told: object) -> None:
    with pytest.raises(DeviceProtocolError, match="other work"):
        disturbance_told({"disturbance": told}, "ssh://pi@a")


def test_heat_and_other_work_are_told_apart() -> None:
    state = {"now": 0, "calls": 0}

    def call() -> None:
        state["calls"] += 1
        state["now"] += 1_000_000 if state["calls"] % 4 else 3_000_000

    settings = Settings(10.0, 5, 5.0, 300.0, (), 0)
    windows = sustain({"a": call}, settings, 0.2, dict, None, lambda: state["now"])
    told = [window.noise for window in windows]
    assert all("p95 is 3.0 x p50" in noise or "other work" in noise for noise in told)
