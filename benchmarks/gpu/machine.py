"""What this machine is, and whether :mod:`tipsc.backends.tensorrt.cuda` works with its CUDA."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gpu.record import Absent
from tipsc.backends.tensorrt import api, cuda
from tipsc.backends.tensorrt.execute import choose
from tipsc.errors import EngineDeviceError
from tipsc.measure.facts import read_facts
from tipsc.measure.gpu import read_gpu

_SIZES = (1, 1000, 1 << 20, 64 << 20)  # bytes that go to the device and back
_DRIVER = (
    "nvidia-smi",
    "--query-gpu=name,driver_version,clocks.sm,clocks.mem",
    "--format=csv,noheader",
)


def facts(engines: Path, work: Path) -> dict[str, Any]:
    """The heading of the page."""
    found: dict[str, Any] = {"GPU": read_gpu().get("name", "none"), "driver": "unknown"}
    if shutil.which(_DRIVER[0]):
        told = subprocess.run(_DRIVER, capture_output=True, text=True, timeout=30, check=False)
        fields = told.stdout.partition("\n")[0].split(", ")
        names = ("GPU", "driver", "SM clock", "memory clock")
        found.update(zip(names, fields, strict=False))
    module = api.installed()
    system = read_facts()
    return {
        **found,
        "TensorRT": f"{module} {api.version_of(module)}" if module else "none",
        "CUDA runtimes": ", ".join(map(_runtime_version, runtimes())) or "none",
        "processor": f"{system['cpu']}, {len(system['cores'])} cores",
        "Python": platform.python_version(),
        "numpy": np.__version__,
    }


def runtimes() -> list[str]:
    """Every libcudart that the loader finds, each once."""
    found: dict[int, str] = {}
    for name in cuda.candidates():
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        found.setdefault(library._handle, name)
    return list(found.values())


def _runtime_version(name: str) -> str:
    number = ctypes.c_int()
    ctypes.CDLL(name).cudaRuntimeGetVersion(ctypes.byref(number))
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def tensorrt(engines: Path, work: Path) -> dict[str, Any]:
    """What of TensorRT's names is there, and what is chosen by them."""
    if api.installed() is None:
        raise Absent("no TensorRT is installed for this Python")
    capabilities = api.probe(api.load())
    return {
        "has": " ".join(name for name, there in asdict(capabilities).items() if there),
        "lacks": " ".join(name for name, there in asdict(capabilities).items() if not there),
        **asdict(choose(capabilities)),
    }


def cuda_runtime(engines: Path, work: Path, place: str) -> dict[str, Any]:
    """The functions of one libcudart: memory, copies, streams, events, errors.

    Args:
        place: of the library in :func:`runtimes`.
    """
    found = runtimes()
    if int(place) >= len(found):
        raise Absent(f"there are {len(found)} CUDA runtimes")
    library = cuda.Cuda(ctypes.CDLL(found[int(place)]))
    try:
        library.require_device()
    except EngineDeviceError as error:
        raise Absent(str(error)) from error
    free, rows = library.free_bytes(), []
    stream, other = cuda.CudaStream(library), cuda.CudaStream(library)
    begin, end = cuda.Event(library), cuda.Event(library)
    generator = np.random.default_rng(0)
    for size in _SIZES:
        sent = generator.integers(0, 256, size, np.uint8)
        got, memory = np.zeros_like(sent), cuda.Memory(library, size)
        assert memory.address % cuda.ALIGNMENT == 0, hex(memory.address)
        begin.record(stream)
        stream.to_device(memory, sent)
        stream.to_host(got, memory)
        end.record(stream)
        milliseconds = end.milliseconds_since(begin)
        stream.synchronise()
        assert np.array_equal(sent, got), f"{size} bytes came back changed"
        assert milliseconds > 0, milliseconds
        rows.append({"bytes": size, "there and back, ms": milliseconds})
        memory.close()
        memory.close()  # again: of no effect
    messages = [_refusal(library, call) for call in (_too_much, _no_pointer)]
    for thing in (begin, end, stream, other):
        thing.close()
    return {
        "version": _runtime_version(found[int(place)]),
        "compute capability": library.compute_capability(),
        "free MiB": round(free / 2**20),
        "not given back MiB": round((free - library.free_bytes()) / 2**20, 1),
        "errors": "; ".join(messages),
        "copies": rows,
    }


def _too_much(library: cuda.Cuda) -> None:
    cuda.Memory(library, 1 << 50)


def _no_pointer(library: cuda.Cuda) -> None:
    library.call("cudaFree", 12345)


def _refusal(library: cuda.Cuda, call: Any) -> str:
    try:
        call(library)
    except EngineDeviceError as error:
        return str(error)
    raise AssertionError(f"{call.__name__} was not refused")
