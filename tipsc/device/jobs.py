"""What a device can be asked to do. This runs on the device: numpy, a backend, the runtime.

This file, and what ``facts`` and ``selftest`` import, is Python 3.8: an old device can at least
say what it is.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Progress = Callable[..., None]

#: job to ``module:function``, which :mod:`tipsc.device` states; backends bring more: all_jobs
JOBS = {
    "facts": "tipsc.device.jobs:facts",
    "describe": "tipsc.device.jobs:describe",
    "measure": "tipsc.device.jobs:measure",
    "pauses": "tipsc.device.jobs:pauses",
    "energies": "tipsc.device.jobs:energies",
    "outputs": "tipsc.device.jobs:outputs",
    "bench": "tipsc.device.benching:bench",
    "sensors": "tipsc.device.jobs:sensors",
    "selftest": "tipsc.device.selftest:misbehave",
}
#: those that an old Python can do
OLD = ("facts", "selftest")


def run(
    name: str, arguments: Mapping[str, Any], blobs: Mapping[str, str], out: str, progress: Progress
) -> Any:
    """Does the job of that name.

    Raises:
        UsageError: there is none.
        DevicePackageError: this Python is too old for it.
    """
    from tipsc.errors import DevicePackageError, UsageError, near

    if sys.version_info < (3, 10) and name not in OLD:
        raise DevicePackageError(
            "its Python is too old",
            expected="3.10 or newer",
            got=platform.python_version(),
            fix="install one there, or name it in the URL: ?python=/path/to/python3",
        )
    jobs = all_jobs() if name not in JOBS else JOBS
    if name not in jobs:
        raise UsageError(f"the device has no job {name!r}", fix=near(name, jobs))
    module, function = jobs[name].split(":")
    job = getattr(importlib.import_module(module), function)
    return job(arguments, {key: Path(file) for key, file in blobs.items()}, Path(out), progress)


def all_jobs() -> dict[str, str]:
    """Those of all devices, and those that backends bring."""
    from tipsc.backends.table import BACKENDS

    return dict(
        JOBS, **{job: place for one in BACKENDS.values() for job, place in one.jobs.items()}
    )


def facts(
    arguments: Mapping[str, Any], blobs: Mapping[str, Path], out: Path, progress: Progress
) -> dict[str, Any]:
    """What the system tells about itself."""
    from tipsc.measure.facts import read_facts

    return read_facts()


def sensors(
    arguments: Mapping[str, Any], blobs: Mapping[str, Path], out: Path, progress: Progress
) -> dict[str, Any]:
    """Power by rail in milliwatts, and temperatures by zone."""
    from tipsc.measure.jetson import input_milliwatts, read_ina3221, read_thermal_zones

    rails = read_ina3221()
    return {
        "rails_mw": rails,
        "input_mw": input_milliwatts(rails),
        "celsius": read_thermal_zones(),
    }


def describe(
    arguments: Mapping[str, Any], blobs: Mapping[str, Path], out: Path, progress: Progress
) -> dict[str, Any]:
    """The versions of a backend there."""
    from tipsc.backends import runtime_of

    return {"versions": dict(runtime_of(arguments["backend"]).check())}


def measure(
    arguments: Mapping[str, Any], blobs: Mapping[str, Path], out: Path, progress: Progress
) -> dict[str, Any]:
    """Times of the paths of the blob ``engine`` on the blob ``input``; samples.json has them."""
    from tipsc.measure.loop import Settings
    from tipsc.measure.pinning import select_cores
    from tipsc.measure.quiet import collect_quiet
    from tipsc.runtime import Engine

    pin: Any = arguments["pin"]
    threads = arguments["threads"]
    cores = select_cores(tuple(pin) if isinstance(pin, list) else pin, threads)
    settings = Settings(**arguments["protocol"], cores=cores)
    only = arguments["only"]
    with Engine.open(blobs["engine"], threads=threads, cache_dir=out.parent / "cache") as engine:
        context, x = engine.context(), _arrays(blobs["input"], engine)
        paths = [path for path in engine.paths if only is None or path.id in only]
        calls = {
            path.id: partial(context.run, _call(x, path.batch), path=path.id) for path in paths
        }
        times = collect_quiet(calls, settings, progress)
    (out / "samples.json").write_text(json.dumps(times.batches))
    return {
        "cores": cores,
        "held": times.held,
        "seconds": times.seconds,
        "disturbance": asdict(times.disturbance),
    }


def pauses(
    arguments: Mapping[str, Any], blobs: Mapping[str, Path], out: Path, progress: Progress
) -> dict[str, Any]:
    """By path of the blob ``engine``, ms of calls on the blob ``input`` after pauses."""
    from tipsc.measure.pauses import collect_pauses
    from tipsc.measure.pinning import select_cores
    from tipsc.runtime import Engine

    pin: Any = arguments["pin"]
    threads = arguments["threads"]
    cores = select_cores(tuple(pin) if isinstance(pin, list) else pin, threads)
    with Engine.open(blobs["engine"], threads=threads, cache_dir=out.parent / "cache") as engine:
        x, paths = _arrays(blobs["input"], engine), engine.paths
        calls = {path.id: partial(engine.run, _call(x, path.batch), path=path.id) for path in paths}
        return {"ms": collect_pauses(calls, cores, seed=arguments["seed"])}


def energies(
    arguments: Mapping[str, Any], blobs: Mapping[str, Path], out: Path, progress: Progress
) -> dict[str, Any]:
    """By path of the blob ``engine``, mJ of a call on the blob ``input``; none without a sensor."""
    from tipsc.measure.pinning import pinned, select_cores
    from tipsc.measure.resources import input_power, measure_energies
    from tipsc.runtime import Engine

    power = input_power()
    if power() is None:
        return {"mj": {}}
    pin: Any = arguments["pin"]
    threads = arguments["threads"]
    cores = select_cores(tuple(pin) if isinstance(pin, list) else pin, threads)
    with Engine.open(blobs["engine"], threads=threads, cache_dir=out.parent / "cache") as engine:
        x, paths = _arrays(blobs["input"], engine), engine.paths
        calls = {path.id: partial(engine.run, _call(x, path.batch), path=path.id) for path in paths}
        with pinned(cores):
            return {"mj": measure_energies(calls, power)}


def outputs(
    arguments: Mapping[str, Any], blobs: Mapping[str, Path], out: Path, progress: Progress
) -> None:
    """What each path gives for the examples of the blob ``inputs``, as many a call as it takes.

    ``<path>.<number>.npy`` is an output of all calls: (calls, *shape).
    """
    import numpy as np

    from tipsc.filled import filled
    from tipsc.runtime import Engine

    with Engine.open(
        blobs["engine"], threads=arguments["threads"], cache_dir=out.parent / "cache"
    ) as engine:
        inputs, gives = _arrays(blobs["inputs"], engine), engine.manifest.signature.gives
        for place, path in enumerate(arguments["paths"]):
            progress(place / len(arguments["paths"]), 0.0)
            answers = [
                gives.flat(engine.run(examples, path=path), "the output")
                for examples in filled(inputs, engine.manifest.path(path).batch)
            ]
            for number in range(gives.tensors):
                rows = [answer[number] for answer in answers]
                np.save(out / f"{path}.{number}.npy", np.stack(rows))


def _call(arrays: list[Any], batch: int) -> Any:
    """As many of the examples as a call has, as an application gives them, which costs least."""
    return arrays[0][:batch] if len(arrays) == 1 else [array[:batch] for array in arrays]


def _arrays(file: Path, engine: Any) -> list[Any]:
    """As many arrays as an engine takes, one after the other in a file."""
    import numpy as np

    with file.open("rb") as stream:
        return [np.load(stream, allow_pickle=False) for _ in engine.manifest.signature.inputs]
