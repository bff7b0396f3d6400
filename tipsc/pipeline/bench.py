"""Measuring an engine as it is, here or on a device: what ``tipsc bench`` shows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tipsc.device.benching import SAMPLES, bench_engine
from tipsc.device.client import Connection, connect
from tipsc.device.expected import benched
from tipsc.device.info import read_info
from tipsc.device.measuring import samples_of, told_as
from tipsc.engine import Manifest, read_engine
from tipsc.errors import TargetError
from tipsc.measure.disturbance import Disturbance
from tipsc.measure.facts import read_facts
from tipsc.measure.loop import Settings
from tipsc.measure.quiet import longest_s
from tipsc.measure.sustained import Drift, Window, drift_of
from tipsc.profile import Measurement, Protocol
from tipsc.profile.conditions import UNKNOWN
from tipsc.profile.latency import Samples
from tipsc.progress import Progress
from tipsc.project.target import load_target

#: what a measurement may hold beside latencies
EXTRAS = ("memory_mib", "switches", "energy", "device_ms", "every")
_LINK_S = 1800.0  # more than the protocol's own limits: opening, extras, the link


@dataclass(frozen=True)
class Benchmark:
    """What was measured of an engine.

    Attributes:
        manifest: of the engine.
        measurement: latencies and how far to trust them.
        extras: memory, switches, energy and the device's own clock; see
            :func:`tipsc.device.benching.bench_engine`.
        windows: of a sustained measurement; empty if there was none.
        drift: its last window against its first.
        remarks: in what the conditions differ from those of the recorded latencies, and what makes
            those, or the extras, doubtful.
    """

    manifest: Manifest
    measurement: Measurement
    extras: Mapping[str, Any]
    windows: tuple[Window, ...]
    drift: Drift | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class BenchOptions:
    """What to measure of an engine.

    Attributes:
        threads: of one call.
        rounds: in place of those of the engine's target.
        only: path ids; all if there is none.
        sustained_s: seconds for which to go on afterwards.
        extras: switches, memory, energy and the device's own clock as well.
        every_ms: time calls that follow each other at this distance as well.
        wait_quiet_s: most seconds to wait for a quiet machine, in place of the target's; what was
            measured among other work is measured again.
    """

    threads: int
    rounds: int | None = None
    only: tuple[str, ...] = ()
    sustained_s: float | None = None
    extras: bool = False
    every_ms: float | None = None
    wait_quiet_s: float | None = None


def measure_engine_file(
    file: Path, url: str | None, progress: Progress, options: BenchOptions
) -> Benchmark:
    """Measures the paths of an engine on this machine, or on a device.

    Args:
        file: the engine.
        url: of the device; None: this machine, without an agent.
        progress: is told how far it is.

    Raises:
        EngineError, DeviceError, PathError: as their names say.
    """
    if url is None:
        return bench_here(file, options, progress)
    with connect(url) as connection:
        return bench_on(connection, file, options, progress)


def bench_here(file: Path, options: BenchOptions, progress: Progress | None = None) -> Benchmark:
    """Measures an engine on this machine."""
    manifest = read_engine(file).manifest
    arguments = _arguments(manifest, options)
    facts = read_facts()
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
        told = _told(progress, manifest, options.only)
        found = bench_engine(file, arguments, Path(folder), told)
        batches = json.loads((Path(folder) / SAMPLES).read_text())
    disturbance = Disturbance.of(found["disturbance"])
    samples = Samples(batches, tuple(found["held"]), found["seconds"], disturbance)
    return _result(manifest, found, samples, facts)


def bench_on(
    connection: Connection, file: Path, options: BenchOptions, progress: Progress | None = None
) -> Benchmark:
    """Measures an engine on a connected device."""
    manifest = read_engine(file).manifest
    arguments = _arguments(manifest, options)
    sustained_s = options.sustained_s or 0.0
    limit_s = longest_s(Settings(**arguments["protocol"], cores=())) + 2 * sustained_s
    paths = [path.id for path in manifest.paths if not options.only or path.id in options.only]
    rounds_asked = arguments["protocol"]["rounds"]
    answer = connection.run(
        "bench",
        arguments,
        {"engine": connection.push(file)},
        benched(paths, rounds_asked),
        timeout_s=limit_s + _LINK_S,
        progress=_told(progress, manifest, options.only),
    )
    samples = samples_of(connection, answer, paths, rounds_asked)
    return _result(manifest, answer.result, samples, read_info(connection))


def _arguments(manifest: Manifest, options: BenchOptions) -> dict[str, Any]:
    asked = {"rounds": options.rounds, "wait_quiet_s": options.wait_quiet_s}
    pin, protocol = _protocol(manifest, asked)
    return {
        "threads": options.threads,
        "pin": pin,
        "protocol": protocol.model_dump(mode="json", exclude={"cores"}),
        "only": list(options.only) or None,
        "sustained_s": options.sustained_s,
        "extras": options.extras,
        "every_ms": options.every_ms,
    }


def _told(
    progress: Progress | None, manifest: Manifest, only: tuple[str, ...]
) -> Callable[[float, float], None]:
    note = f"{len(only) or len(manifest.paths)} paths"
    return told_as(progress, note) if progress is not None else lambda share, left_s: None


def _result(
    manifest: Manifest,
    found: dict[str, Any],
    samples: Samples,
    facts: Mapping[str, Any],
) -> Benchmark:
    measurement = samples.summarise()
    windows = tuple(Window(**window) for window in found.get("windows") or ())
    return Benchmark(
        manifest,
        measurement,
        {name: found.get(name) for name in EXTRAS},
        windows,
        drift_of(list(windows), measurement.noise_floor.p95) if windows else None,
        _remarks(manifest, facts, found.get("extras_noise") or ""),
    )


def _protocol(manifest: Manifest, asked: Mapping[str, float | None]) -> tuple[Any, Protocol]:
    """Cores to pin to, and the rest of the protocol, as the engine's target says if it is known.

    Which cores a policy means is decided where they are.
    """
    try:
        measure = load_target(manifest.target).measure
        given = {"warm_up_ms", "rounds", "batch_ms", "time_limit_s", "wait_quiet_s"}
        pin, protocol = measure.pin, Protocol(**measure.model_dump(include=given))
    except TargetError:  # a target file of somebody else's
        pin, protocol = "fastest", Protocol()
    update = {name: value for name, value in asked.items() if value is not None}
    return pin, protocol.model_copy(update=update)


def _remarks(manifest: Manifest, facts: Mapping[str, Any], noise: str) -> tuple[str, ...]:
    remarks = [f"of switches, energy and the device's own clock: {noise}"] if noise else []
    if manifest.noise:
        remarks.append(f"of the recorded latencies: {manifest.noise}")
    recorded, now = manifest.built.get("power mode", UNKNOWN), facts.get("power_mode") or UNKNOWN
    if UNKNOWN not in (recorded, now) and recorded != now:
        remarks.append(f"recorded in power mode {recorded}, measured now in {now}")
    return tuple(remarks)
