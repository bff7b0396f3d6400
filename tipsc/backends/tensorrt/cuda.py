"""CUDA's runtime through ctypes: the system's libcudart and nothing to install.

Only what running plans needs: memory, a stream, events. Functions as in the manual of CUDA's
runtime API. Unverified on hardware; tested against libcudart without a driver, and against a
stand-in that keeps the same signatures in host memory.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tipsc.errors import EngineDeviceError

NAMES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
FOLDERS = ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/aarch64-linux/lib")
_TO_DEVICE, _TO_HOST = 1, 2  # cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost
_MAJOR, _MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor and Minor
ALIGNMENT = 256  # bytes; what cudaMalloc gives is aligned to it

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
#: function to the types of its arguments; all return an error code, 0 for none
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cudaGetDeviceCount": (ctypes.POINTER(ctypes.c_int),),
    "cudaDeviceGetAttribute": (ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int),
    "cudaMemGetInfo": (ctypes.POINTER(_SIZE), ctypes.POINTER(_SIZE)),
    "cudaMalloc": (ctypes.POINTER(_POINTER), _SIZE),
    "cudaFree": (_POINTER,),
    "cudaMemcpyAsync": (_POINTER, _POINTER, _SIZE, ctypes.c_int, _POINTER),
    "cudaStreamCreate": (ctypes.POINTER(_POINTER),),
    "cudaStreamSynchronize": (_POINTER,),
    "cudaStreamDestroy": (_POINTER,),
    "cudaEventCreate": (ctypes.POINTER(_POINTER),),
    "cudaEventRecord": (_POINTER, _POINTER),
    "cudaEventSynchronize": (_POINTER,),
    "cudaEventElapsedTime": (ctypes.POINTER(ctypes.c_float), _POINTER, _POINTER),
    "cudaEventDestroy": (_POINTER,),
}


class Cuda:
    """The functions of a loaded libcudart, with errors as exceptions."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name, types in _FUNCTIONS.items():
            getattr(library, name).argtypes = types
        library.cudaGetErrorString.restype = ctypes.c_char_p

    def call(self, function: str, *arguments: Any) -> None:
        """Calls a function.

        Raises:
            EngineDeviceError: it failed.
        """
        code = getattr(self._library, function)(*arguments)
        if code:
            raise EngineDeviceError(f"CUDA: {self.reason(code)}", where=function, got=code)

    def reason(self, code: int) -> str:
        text = self._library.cudaGetErrorString(code)
        return text.decode("utf-8", "replace") if text else "unknown error"

    def require_device(self) -> None:
        """Refuses to go on where there is nothing to run on.

        Raises:
            EngineDeviceError: there is no CUDA device, or its driver does not work.
        """
        count = ctypes.c_int()
        code = self._library.cudaGetDeviceCount(ctypes.byref(count))
        if code or not count.value:
            raise no_device(self.reason(code) if code else "none is attached")

    def compute_capability(self) -> str:
        """Of the first device, as "8.7"."""
        numbers = []
        for attribute in (_MAJOR, _MINOR):
            number = ctypes.c_int()
            self.call("cudaDeviceGetAttribute", ctypes.byref(number), attribute, 0)
            numbers.append(str(number.value))
        return ".".join(numbers)

    def free_bytes(self) -> int:
        """Of device memory; on a Jetson, of the memory that all share."""
        free, total = _SIZE(), _SIZE()
        self.call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value


class Memory:
    """A run of device memory; 0 bytes are none."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        self._cuda, self.size = cuda, size
        self._pointer = _POINTER()
        if size:
            cuda.call("cudaMalloc", ctypes.byref(self._pointer), size)

    @property
    def address(self) -> int:
        return self._pointer.value or 0

    def close(self) -> None:
        if self._pointer:
            self._cuda.call("cudaFree", self._pointer)
            self._pointer = _POINTER()


class CudaStream:
    """A queue of work; what is put into it runs one after the other."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._pointer = _POINTER()
        cuda.call("cudaStreamCreate", ctypes.byref(self._pointer))

    @property
    def handle(self) -> int:
        return self._pointer.value or 0

    def to_device(self, memory: Memory, array: np.ndarray) -> None:
        """Copies a contiguous array, which must live until :meth:`synchronise`."""
        self._copy(memory.address, array.ctypes.data, array.nbytes, _TO_DEVICE)

    def to_host(self, array: np.ndarray, memory: Memory) -> None:
        """Copies into a contiguous array, which is filled after :meth:`synchronise`."""
        self._copy(array.ctypes.data, memory.address, array.nbytes, _TO_HOST)

    def _copy(self, to: int, from_: int, size: int, kind: int) -> None:
        self._cuda.call("cudaMemcpyAsync", to, from_, size, kind, self._pointer)

    def synchronise(self) -> None:
        """Waits until all is done."""
        self._cuda.call("cudaStreamSynchronize", self._pointer)

    def close(self) -> None:
        if self._pointer:
            self._cuda.call("cudaStreamDestroy", self._pointer)
            self._pointer = _POINTER()


class Event:
    """A mark in a stream, with the device's time of it."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._pointer = _POINTER()
        cuda.call("cudaEventCreate", ctypes.byref(self._pointer))

    def record(self, stream: CudaStream) -> None:
        self._cuda.call("cudaEventRecord", self._pointer, stream.handle)

    def milliseconds_since(self, earlier: Event) -> float:
        """Time on the device between two marks that were reached; waits for this one."""
        self._cuda.call("cudaEventSynchronize", self._pointer)
        elapsed = ctypes.c_float()
        self._cuda.call(
            "cudaEventElapsedTime", ctypes.byref(elapsed), earlier._pointer, self._pointer
        )
        return elapsed.value

    def close(self) -> None:
        if self._pointer:
            self._cuda.call("cudaEventDestroy", self._pointer)
            self._pointer = _POINTER()


def load() -> Cuda:
    """The system's CUDA runtime, with a device to run on.

    Raises:
        EngineDeviceError: there is no libcudart, or no CUDA device.
    """
    for name in candidates():
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        cuda = Cuda(library)
        cuda.require_device()
        return cuda
    raise no_device("libcudart is not installed")


def candidates() -> Iterable[str]:
    """What may be the library: the loader's own, CUDA's folder, and pip's packages of it."""
    yield from NAMES
    folders = [Path(folder) for folder in FOLDERS]
    found = importlib.util.find_spec("nvidia")
    for place in (found.submodule_search_locations or ()) if found else ():
        folders += sorted(Path(place).glob("*/lib"))
    for folder in folders:
        for name in NAMES:
            if (folder / name).exists():
                yield str(folder / name)


def no_device(got: str) -> EngineDeviceError:
    """The error of a machine that cannot run plans."""
    return EngineDeviceError(
        "no CUDA device is here, so that plans can be built at most, and not run",
        got=got,
        fix="run this on the device, or give --device ssh://[user@]host; "
        "'tipsc finish --no-run' builds the plans and no more",
    )
