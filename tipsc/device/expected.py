"""What each job of a device may send back: its result, and its files with their largest sizes.

Ids and counts are those that were asked for, times are above 0, and all times together are no more
than the wait for them: a device's clock may be wrong, and its answer somebody's.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tipsc.device.agent import decode
from tipsc.device.incoming import (
    LARGEST,
    Check,
    Wrong,
    anything,
    flag,
    listing,
    number,
    one_of,
    optional,
    positive,
    record,
    table,
    text,
    whole,
)
from tipsc.engine.manifest import Manifest
from tipsc.engine.plan import plan_name
from tipsc.filled import calls_for
from tipsc.measure.loop import MAX_RUNS, Batches
from tipsc.measure.pauses import ROUNDS
from tipsc.signature import TensorSpec

SAMPLES = "samples.json"
_TIME_BYTES = 20  # of one time in samples.json
_HEADER_BYTES = 4096  # of an array
_PLAN_BYTES = 16 << 20  # of a plan, beyond four times the engine: kernels
#: a device's clock may run that much faster than ours, and we may begin to wait after it
_CLOCK, _LATE_S = 1.1, 1.0

MILLIWATTS = number(-1e7, 1e7)
CELSIUS = number(-300, 2000)
MEGAHERTZ = number(0, 1e7)
MEBIBYTES = number(0, 1e9)
CORES = listing(whole(0, 1 << 16))
QUANTILES = ("p10_ms", "p50_ms", "p95_ms", "p99_ms")


@dataclass(frozen=True)
class Expected:
    """What a job may send back.

    Attributes:
        result: its check.
        files: most bytes by name; each of `needed` comes, the others may.
        needed: names of files.
    """

    result: Check = anything
    files: Mapping[str, int] = field(default_factory=dict)
    needed: Collection[str] = ()


GREETING = record({
    "architecture": optional(text),
    "cores": optional(whole(0, 1 << 16)),
    "memory_mib": optional(MEBIBYTES),
    "python": optional(text),
    "backends": optional(table(text)),
    "l4t": optional(text),
    "jetpack": optional(text),
    "power_mode": optional(text),
    "sm": optional(text),
    "clocks_mhz": optional(listing(optional(MEGAHERTZ))),
    "governor": optional(text),
    "thermal_zones_mc": optional(listing(optional(text))),
})  # fmt: skip
_CLOCKS = {name: optional(MEGAHERTZ) for name in ("current_mhz", "min_mhz", "max_mhz")}
_GPU = record({"name": optional(text), "compute_capability": optional(text), **_CLOCKS})
#: the fields of :class:`tipsc.profile.System`
FACTS = Expected(record({
    "cpu": optional(text),
    "board": optional(text),
    "architecture": optional(text),
    "vector_flags": listing(text),
    "cores": listing(record({"number": whole(0, 1 << 16), **_CLOCKS, "governor": optional(text)})),
    "thermal_zones": listing(record({"name": text, "celsius": CELSIUS})),
    "load_1m": optional(number(0, 1e6)),
    "memory_total_mib": optional(MEBIBYTES),
    "memory_available_mib": optional(MEBIBYTES),
    "kernel": optional(text),
    "python": optional(text),
    "virtualised": optional(flag),
    "l4t": optional(text),
    "jetpack": optional(text),
    "power_mode": optional(text),
    "gpu": optional(_GPU),
}))  # fmt: skip
SENSORS = Expected(record({
    "rails_mw": table(MILLIWATTS),
    "input_mw": optional(MILLIWATTS),
    "celsius": table(CELSIUS),
}))  # fmt: skip
#: of a job that says whether a backend can run there; people read it
PROBED = Expected(table(anything))


def described(backend: str) -> Expected:
    """Versions of a backend, its own among them."""

    def check(value: object, place: str) -> object:
        versions = table(text)(value, place)
        if backend not in versions:
            raise Wrong(place, f"the version of {backend}", ", ".join(versions))
        return versions

    return Expected(record({"versions": check}))


_TIMED = {"cores": CORES, "held": CORES, "seconds": positive, "disturbance": anything}


def measured(paths: Sequence[str], rounds: int) -> Expected:
    """Times of paths; :func:`read_samples` reads them."""
    return Expected(record(_TIMED), {SAMPLES: _samples_bytes(paths, rounds)}, (SAMPLES,))


def paused(paths: Sequence[str]) -> Expected:
    """Milliseconds of calls after pauses."""
    return Expected(record({"ms": _pauses(paths)}))


def costed(paths: Sequence[str]) -> Expected:
    """Millijoules of calls, of paths that were measured."""
    return Expected(record({"mj": _among(paths, positive)}))


def _pauses(paths: Sequence[str]) -> Check:
    return table(listing(positive, ROUNDS, ROUNDS), paths)


def benched(paths: Sequence[str], rounds: int) -> Expected:
    """What :func:`tipsc.device.benching.bench_engine` gives; extras that were not asked for too."""
    by_path = table(positive, paths)
    window = {"seconds": positive, "p10_ms": by_path, "p50_ms": by_path, "celsius": table(CELSIUS)}
    energy = {name: number(0, LARGEST) for name in ("millijoules", "milliwatts")}
    energy.update(idle_milliwatts=number(0, LARGEST), runs=whole(1))
    memory = {"before": optional(MEBIBYTES), "after": optional(MEBIBYTES)}
    memory["gpu"] = optional(number(-1e9, 1e9))  # what others gave back counts as well
    device_ms = record(dict.fromkeys(QUANTILES, positive))
    fields: dict[str, Check] = {
        **_TIMED,
        "memory_mib": record(memory),
        "every": optional(_pauses(paths)),
        "switches": optional(_among(paths, _among(paths, positive))),
        "energy": optional(_among(paths, record(energy))),
        "device_ms": optional(table(device_ms, paths)),
        "extras_noise": optional(text),
        "windows": optional(listing(record(window))),
    }
    return Expected(record(fields), {SAMPLES: _samples_bytes(paths, rounds)}, (SAMPLES,))


def _among(paths: Sequence[str], check: Check) -> Check:
    """Values by path, of some paths."""

    def checked(value: object, place: str) -> object:
        found = table(check)(value, place)
        for name in found:
            one_of(paths)(name, place)
        return found

    return checked


class Answered(NamedTuple):
    """What a path gives, and in how many calls."""

    outputs: Sequence[TensorSpec]
    calls: int

    @classmethod
    def of(cls, manifest: Manifest, path_id: str, examples: int) -> Answered:
        """For so many examples."""
        path = manifest.path(path_id)
        return cls(manifest.signature_of(path).outputs, calls_for(examples, path.batch))


def computed(answers: Mapping[str, Answered]) -> Expected:
    """What paths give for examples; :func:`read_answers` reads the files of a path."""
    files = {
        f"{path}.{place}.npy": _HEADER_BYTES + answered.calls * output.nbytes
        for path, answered in answers.items()
        for place, output in enumerate(answered.outputs)
    }
    return Expected(one_of((None,)), files, tuple(files))


def planned(paths: Sequence[str], groups: Sequence[Sequence[str]], engine_bytes: int) -> Expected:
    """What was made of an engine's paths, and the plans of those that were not refused."""
    names = [*paths, *(plan_name(group) for group in groups)]
    check = record({
        "path_id": one_of(paths),
        "module": text,
        "version": text,
        "plan_bytes": whole(0),
        "seconds": number(0, LARGEST),
        "problem": text,
    })  # fmt: skip
    trial = record({
        "paths": one_of([list(group) for group in groups]),
        "kept": flag,
        "plan_bytes": whole(0),
        "alone_bytes": whole(0),
        "slowdowns": table(positive),
        "problem": text,
        "noise": text,
    })  # fmt: skip
    result = record({
        "module": text,
        "version": text,
        "compute_capability": optional(text),
        "stripped": flag,
        "checks": listing(check, len(paths), len(paths)),
        "trials": listing(trial, 0, len(groups)),
    })  # fmt: skip
    most = 4 * engine_bytes + _PLAN_BYTES
    return Expected(result, {f"{name}.plan": most for name in names})


def _samples_bytes(paths: Sequence[str], rounds: int) -> int:
    return len(paths) * (rounds * (MAX_RUNS * _TIME_BYTES + 8) + 256)


def read_samples(
    content: bytes, paths: Sequence[str], rounds: int, told_s: float, waited_s: float
) -> dict[str, Batches]:
    """The times in a device's samples.json: by path, for each round the nanoseconds of its batch.

    Args:
        told_s: of the measurement, as the device says.
        waited_s: for the answer, as we say.

    Raises:
        Wrong: they are not of what was asked for, or cannot be.
    """
    lists = len(paths) * (rounds + 1) + 1
    if content.count(b"[") + content.count(b"{") > lists:  # before they are built
        raise Wrong(SAMPLES, f"at most {lists} lists", content.count(b"["))
    try:
        told = decode(content, len(content))
    except ValueError as error:
        raise Wrong(SAMPLES, "JSON of finite numbers", str(error)) from error
    time = whole(1)
    batches = listing(listing(time, 1, MAX_RUNS), 1, rounds)
    found: dict[str, Batches] = table(batches, paths)(told, SAMPLES)
    if len({len(batches) for batches in found.values()}) != 1:
        raise Wrong(SAMPLES, "as many rounds of each path", {k: len(b) for k, b in found.items()})
    total_s = sum(sum(map(sum, batches)) for batches in found.values()) / 1e9
    if not total_s <= told_s * _CLOCK + _LATE_S or not told_s <= waited_s * _CLOCK + _LATE_S:
        raise Wrong(
            "seconds",
            f"a clock that runs as this one does: at most {waited_s:.1f} s in all",
            f"calls of {total_s:.1f} s in {told_s:.1f} s",
        )
    return found


def read_answers(files: Mapping[str, bytes], path: str, answered: Answered) -> list[np.ndarray]:
    """Of each output of a path, what it gives in each call: (calls, *shape).

    Raises:
        Wrong: one is another array, or none.
    """
    return [
        _read_array(files[f"{path}.{place}.npy"], output, (answered.calls, *output.shape))
        for place, output in enumerate(answered.outputs)
    ]


def _read_array(content: bytes, output: TensorSpec, shape: tuple[int, ...]) -> np.ndarray:
    """An array of this shape and the output's type, from the bytes of an ``.npy``.

    Raises:
        Wrong: it is another, or none.
    """
    stream = io.BytesIO(content)
    expected = np.dtype(output.dtype)
    try:  # its header first: an array is made as large as that says
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0}[version]
        told, fortran, dtype = read(stream)
    except Exception as error:  # numpy's parser is not made for hostile bytes
        raise Wrong("output", "an array of numpy's", f"{type(error).__name__}: {error}") from error
    body = memoryview(content)[stream.tell() :]
    wanted = f"{expected} {shape}"
    if told != shape or dtype != expected or dtype.hasobject:
        raise Wrong("output", wanted, f"{dtype} {told}")
    if len(body) != expected.itemsize * int(np.prod(shape)):
        raise Wrong("output", wanted, f"{len(body)} bytes")
    return np.frombuffer(body, expected).reshape(shape, order="F" if fortran else "C")
