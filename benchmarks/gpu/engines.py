"""Engines in a folder, what belongs beside them, and the plans that checks have made of them.

``gpu_engines.py`` says what lies beside an engine. Its plans and its finished form are in a folder
of its name in the folder of the work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpu.record import Absent
from tipsc.backends.tensorrt import api, cuda
from tipsc.device.plans import write_with_plans
from tipsc.engine import DevicePlan, EngineFile, read_engine
from tipsc.engine.plan import paths_of
from tipsc.errors import EngineDeviceError


@dataclass(frozen=True)
class Made:
    """An engine, and where what is made of it goes.

    Attributes:
        file: unbuilt.
        out: plans, each ``PATHS.plan``.
        finished: with the plans that there are.
    """

    file: Path
    out: Path
    finished: Path

    @property
    def precision(self) -> str:
        return self.read().manifest.recipe.get("precision", "fp32")

    def read(self) -> EngineFile:
        return read_engine(self.file)

    def groups(self) -> dict[tuple[str, ...], Path]:
        """Paths that may share a plan, and their graph."""
        beginning = f"{self.file.stem}.onnx."
        files = sorted(self.file.parent.glob(beginning + "*"))
        return {paths_of(file.name.removeprefix(beginning)): file for file in files}

    def plans(self) -> list[DevicePlan]:
        """Of single paths.

        Raises:
            Absent: there are none.
        """
        files = [file for file in sorted(self.out.glob("*.plan")) if "+" not in file.stem]
        if not files:
            raise Absent("it has no plans")
        return [DevicePlan((file.stem,), file.read_bytes()) for file in files]

    def reference(self) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
        """An input, and by path its outputs on the CPU.

        Raises:
            Absent: they were not computed.
        """
        file = self.file.with_suffix(".npz")
        if not file.is_file():
            raise Absent(f"{file.name} is not there: gpu_engines.py --engine makes it")
        with np.load(file) as arrays:
            found: dict[str, list[np.ndarray]] = {}
            for key in arrays.files:  # in order
                found.setdefault(key.rpartition(".")[0], []).append(arrays[key])
        return found.pop("input"), found

    def finish(self) -> list[str]:
        """Writes the engine with the plans that there are; the ids of its paths."""
        trt, plans, engine = api.load(), self.plans(), self.read()
        ids = {path for plan in plans for path in plan.paths}
        built = {
            "module": trt.__name__,
            "version": trt.__version__,
            "compute capability": device().compute_capability(),
            "stripped": "no",
        }
        paths = tuple(path for path in engine.manifest.paths if path.id in ids)
        manifest = replace(engine.manifest, paths=paths, built=built)
        write_with_plans(self.finished, manifest, engine, plans)
        return [path.id for path in manifest.paths]


def made(engines: Path, work: Path, name: str) -> Made:
    """Of the engine of that name.

    Raises:
        Absent: it is not there.
    """
    file = engines / f"{name}.tipsc"
    if not file.is_file():
        raise Absent(f"{file.name} is not there: gpu_engines.py makes it")
    out = work / name / "jobs" / "build" / "plans"  # the job keeps timings three folders above
    out.mkdir(parents=True, exist_ok=True)
    return Made(file, out, work / name / "finished.tipsc")


def finished(engines: Path, work: Path, name: str) -> Made:
    """The same, with what runs it.

    Raises:
        Absent: there is no GPU, no TensorRT, or no plan of it.
    """
    needs_gpu()
    found = made(engines, work, name)
    if not found.finished.is_file():
        raise Absent("it has no plans")
    return found


def needs_gpu() -> None:
    """Raises:
    Absent: there is no GPU, or no TensorRT.
    """
    if api.installed() is None:
        raise Absent("no TensorRT is installed for this Python")
    device()


def device() -> cuda.Cuda:
    """Raises:
    Absent: there is no GPU.
    """
    try:
        return cuda.load()
    except EngineDeviceError as error:
        raise Absent(error.what + f" ({error.got})") from error


def apart(one: Iterable[Any], other: Iterable[Any]) -> float:
    """Largest difference over the largest value, of the worst output; infinite if it is none."""
    worst = 0.0
    for wanted, got in zip(one, other, strict=True):
        expected, seen = np.asarray(wanted, np.float64), np.asarray(got, np.float64)
        difference = float(np.abs(expected - seen).max()) / (float(np.abs(expected).max()) or 1.0)
        worst = max(worst, difference if np.isfinite(difference) else np.inf)
    return worst
