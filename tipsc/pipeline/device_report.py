"""The self-test of a device as one file: what works there, what does not, and what is not there.

Each check stands alone: one that fails becomes a line with its error, and the next is made. The
report names no user, host or folder.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tipsc import __version__
from tipsc.backends import BACKENDS, backend
from tipsc.device.client import Connection
from tipsc.device.expected import FACTS, PROBED, SENSORS
from tipsc.device.probe import survive
from tipsc.engine import read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.errors import (
    DevicePackageError,
    EngineDeviceError,
    MissingExtraError,
    TipscError,
)
from tipsc.pipeline.bench import BenchOptions, bench_on
from tipsc.pipeline.finish import finish

OK, FAILED, ABSENT = "ok", "failed", "absent"
_PINGS = 50


@dataclass(frozen=True)
class DeviceCheck:
    """One thing that was tried: its name, ``ok``, ``failed`` or ``absent``, and what was found."""

    name: str
    status: str
    found: Any


def examine_device(device: Connection, engine: Path | None = None) -> Iterator[DeviceCheck]:
    """Tries everything on a device.

    Args:
        engine: an engine for it; one that is unbuilt is finished for the test, in a copy.
    """
    yield _tried(device, "link", lambda: _ping(device))
    yield _tried(device, "failures", lambda: survive(device))
    yield _tried(device, "facts", lambda: device.run("facts", {}, expected=FACTS).result)
    yield _tried(device, "sensors", lambda: _sensors(device))
    for job in (job for found in BACKENDS.values() for job in found.probes):
        yield _tried(device, job, partial(_probe, device, job))
    if engine is None:
        yield DeviceCheck("plans", ABSENT, "give --engine to try one")
        yield DeviceCheck("bench", ABSENT, "give --engine to try one")
        return
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
        copy = Path(folder) / "engine.tipsc"
        if backend(read_engine(engine).manifest.backend).finishes:
            yield _tried(device, "plans", lambda: _finished(device, engine, copy))
        else:
            write_atomically(copy, [engine.read_bytes()])
            yield DeviceCheck("plans", ABSENT, "this engine needs none")
        if copy.exists():
            yield _tried(device, "bench", lambda: _bench(device, copy))
        else:
            yield DeviceCheck("bench", ABSENT, "no plans to run")


def write_report(file: Path, checks: list[DeviceCheck]) -> None:
    """Writes the report, whole or not at all."""
    document = {
        "tipsc": __version__,
        "taken": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "checks": [asdict(check) for check in checks],
    }
    write_atomically(file, [json.dumps(document, indent=1).encode()])


def _tried(device: Connection, name: str, work: Callable[[], Any]) -> DeviceCheck:
    try:
        return DeviceCheck(name, OK, work())
    except TipscError as error:
        text = str(error).replace(device.link.url, "the device")
        absent = (
            isinstance(error, MissingExtraError)
            # a package that is there and cannot be imported is broken
            or (isinstance(error, DevicePackageError) and not f"{error.got}".startswith("ImportE"))
            or (isinstance(error, EngineDeviceError) and "no CUDA device" in error.what)
        )
        return DeviceCheck(name, ABSENT if absent else FAILED, f"{type(error).__name__}: {text}")


def _probe(device: Connection, job: str) -> Any:
    return device.run(job, {}, expected=PROBED).result


def _ping(device: Connection) -> dict[str, float]:
    times = sorted(device.ping() * 1e3 for _ in range(_PINGS))
    return {"p50_ms": median(times), "best_ms": times[0]}


def _sensors(device: Connection) -> Any:
    found = device.run("sensors", {}, expected=SENSORS).result
    if found["input_mw"] is None and not found["celsius"]:
        raise MissingExtraError("neither power nor a temperature can be read")
    return found


def _finished(device: Connection, engine: Path, copy: Path) -> dict[str, Any]:
    done = finish(engine, device, output=copy)
    return {
        "built": {name: value for name, value in done.manifest.built.items() if name != "device"},
        "plans": [asdict(check) for check in done.checks],
        "shared plans": [asdict(trial) for trial in done.trials],
        "differences": dict(done.differences),
    }


def _bench(device: Connection, engine: Path) -> dict[str, Any]:
    found = bench_on(device, engine, BenchOptions(threads=1, extras=True))
    latencies = found.measurement.latencies
    return {
        "latency": {name: value.model_dump(mode="json") for name, value in latencies.items()},
        "noise_floor": found.measurement.noise_floor.model_dump(mode="json"),
        **found.extras,
    }
