"""Everything that is measured of a finished engine, on the machine that runs it.

Here for ``tipsc bench`` on this machine, and there as the job ``bench``: the same code. Latencies
are of whole calls, as an application makes them: input in, wait, output out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tipsc.backends import open_paths, runtime_of
from tipsc.device.expected import SAMPLES
from tipsc.engine import Manifest, read_engine
from tipsc.errors import PathError, near
from tipsc.measure.disturbance import Disturbance, noise_of
from tipsc.measure.jetson import read_thermal_zones
from tipsc.measure.loop import Settings
from tipsc.measure.others import others_between, read_counters
from tipsc.measure.pauses import collect_pauses
from tipsc.measure.pinning import pinned, select_cores
from tipsc.measure.quiet import collect_quiet
from tipsc.measure.resources import input_power, measure_energy, resident_mib
from tipsc.measure.sustained import sustain
from tipsc.measure.switching import switch_matrix
from tipsc.runtime.context import Context

_SWITCH_ROUNDS = 5
_DEVICE_RUNS = 50
_SHARE = 0.8  # of the progress, for the latencies


def bench(
    arguments: Mapping[str, Any],
    blobs: Mapping[str, Path],
    out: Path,
    progress: Callable[[float, float], None],
) -> dict[str, Any]:
    """The job: :func:`bench_engine` of the blob ``engine``."""
    return bench_engine(blobs["engine"], arguments, out, progress, out.parent / "cache")


def bench_engine(
    file: Path,
    arguments: Mapping[str, Any],
    out: Path,
    progress: Callable[[float, float], None],
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Measures the paths of an engine on zeros, as many examples a call as each takes.

    Args:
        arguments: ``threads``; ``pin`` (see :func:`tipsc.measure.pinning.select_cores`);
            ``protocol``, the fields of :class:`tipsc.measure.loop.Settings` but ``cores``;
            ``only``, path ids or None; ``every_ms`` between calls that are timed as well, or None;
            ``sustained_s``, seconds or None; ``extras``: switches,
            memory, energy and the device's own clock as well.
        out: gets ``samples.json``: by path id, for each round the nanoseconds of its calls.
        cache_dir: for what the backend finalises. None: where an application's would be.

    Returns:
        ``cores``, ``held``, ``seconds``, ``disturbance``; ``memory_mib`` of this process ``before``
        and ``after`` the paths were opened and run once, and what that took of the ``gpu``'s, None
        without one; ``extras_noise``, what makes the extras doubtful;
        ``switches``; ``energy`` and ``device_ms`` by path id, or None where nothing tells;
        ``windows`` of a sustained measurement.
    """
    engine = read_engine(file)
    manifest, threads, only = engine.manifest, arguments["threads"], arguments["only"]
    pin: Any = arguments["pin"]
    cores = select_cores(tuple(pin) if isinstance(pin, list) else pin, threads)
    settings = Settings(**arguments["protocol"], cores=cores)
    known = {path.id for path in manifest.paths}
    for name in only or ():
        if name not in known:
            raise PathError(f"the engine has no path {name!r}", fix=near(name, known))
    runs_it = runtime_of(manifest.backend)
    # What plans take of a GPU's memory is not resident in this process, not even on a Jetson.
    free_mib: Callable[[], float | None] = getattr(runs_it, "free_mib", lambda: None)
    before, free = resident_mib(), free_mib()
    executors = open_paths(engine, path_ids=only, threads=threads, cache_dir=cache_dir)
    try:
        context = Context(manifest, executors)
        names = [path.id for path in manifest.paths if path.id in executors]
        calls = {name: partial(context.run, _zeros(manifest, name), path=name) for name in names}
        for call in calls.values():
            call()
        after, left = resident_mib(), free_mib()
        times = collect_quiet(
            calls, settings, lambda share, left_s: progress(_SHARE * share, left_s)
        )
        (out / SAMPLES).write_text(json.dumps(times.batches))
        found: dict[str, Any] = {
            "cores": cores,
            "held": times.held,
            "seconds": times.seconds,
            "disturbance": asdict(times.disturbance),
            "memory_mib": {
                "before": before,
                "after": after,
                "gpu": None if free is None or left is None else free - left,
            },
        }
        if arguments["every_ms"]:
            found["every"] = collect_pauses(
                calls, cores, every_ms=arguments["every_ms"], seed=settings.seed
            )
        if arguments["extras"]:
            power, watched = input_power(), read_counters()
            with pinned(cores):
                energy = {name: measure_energy(call, power) for name, call in calls.items()}
                found["switches"] = switch_matrix(
                    calls, _SWITCH_ROUNDS, settings.seed, time.perf_counter_ns
                )
                found["device_ms"] = _device_ms(executors, names)
            others = others_between(watched, read_counters(), cores)
            found["extras_noise"] = noise_of(Disturbance(**asdict(others)))
            found["energy"] = {name: asdict(e) for name, e in energy.items() if e} or None
        if arguments["sustained_s"]:
            windows = sustain(
                calls,
                settings,
                arguments["sustained_s"],
                read_thermal_zones,
                lambda share, left_s: progress(_SHARE + (1 - _SHARE) * share, left_s),
                time.perf_counter_ns,
            )
            found["windows"] = [asdict(window) for window in windows]
    finally:
        for executor in executors.values():
            executor.close()
    progress(1.0, 0.0)
    return found


def _device_ms(
    executors: Mapping[str, Any], names: list[str]
) -> dict[str, dict[str, float]] | None:
    """By the device's own clock, where the backend can ask it: the paths take turns."""
    if not all(hasattr(executors[name], "device_ms") for name in names):
        return None
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(_DEVICE_RUNS):
        for name in names:
            times[name].append(executors[name].device_ms())
    return {
        name: {f"p{q}_ms": float(np.percentile(values, q)) for q in (10, 50, 95, 99)}
        for name, values in times.items()
    }


def _zeros(manifest: Manifest, path_id: str) -> tuple[np.ndarray, ...]:
    specs = manifest.signature_of(manifest.path(path_id)).inputs
    return tuple(np.zeros(spec.shape, spec.dtype) for spec in specs)
