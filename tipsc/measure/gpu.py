"""The GPU that CUDA's driver finds: its name and compute capability.

The driver is asked in a process of its own, because one that does not fit its device has ways to
end the process that loads it.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

#: beginnings of the device files of NVIDIA's drivers, for cards and for Jetsons
_DEVICE_FILES = ("nvidia", "nvhost", "nvmap", "nvgpu")
DRIVERS = ("libcuda.so.1", "libcuda.so")
PROBE_S = 30.0
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h


@lru_cache(maxsize=None)  # noqa: UP033 - Python 3.8
def read_gpu() -> dict[str, Any]:
    """``name`` and ``compute_capability`` ("8.7") of the first GPU; empty where there is none."""
    if not any(file.name.startswith(_DEVICE_FILES) for file in Path("/dev").iterdir()):
        return {}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=PROBE_S,
            check=False,
        )
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}
    return found if isinstance(found, dict) else {}


_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from tipsc.measure.gpu import ask_driver
print(json.dumps(ask_driver()))
"""


def ask_driver() -> dict[str, str]:
    """As :func:`read_gpu`, in this process. Functions as in the manual of CUDA's driver API."""
    for name in DRIVERS:
        try:
            cuda = ctypes.CDLL(name)
            break
        except OSError:
            continue
    else:
        return {}
    device = ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return {}
    text = ctypes.create_string_buffer(256)
    numbers = [ctypes.c_int(), ctypes.c_int()]
    failed = cuda.cuDeviceGetName(text, len(text), device)
    for number, attribute in zip(numbers, (_MAJOR, _MINOR)):  # noqa: B905 - Python 3.8
        failed = failed or cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    if failed:
        return {}
    return {
        "name": text.value.decode("utf-8", "replace"),
        "compute_capability": f"{numbers[0].value}.{numbers[1].value}",
    }
