"""Provoking every failure of a job on a device: each must have its name, and the next job work."""

from __future__ import annotations

from typing import Any

from tipsc.device.client import Connection
from tipsc.errors import (
    DeviceCrashError,
    DeviceError,
    DeviceJobError,
    DeviceMemoryError,
    DeviceTimeoutError,
)

#: how a job fails, the limits it runs under, and the error that it must be
FAILURES: dict[str, tuple[dict[str, Any], type[DeviceJobError]]] = {
    "crash": ({}, DeviceCrashError),
    "memory": ({"memory_bytes": 1 << 30}, DeviceMemoryError),
    "hang": ({"timeout_s": 1.0}, DeviceTimeoutError),
    "raise": ({}, DeviceJobError),
}


def survive(device: Connection) -> dict[str, str]:
    """What each failure was reported as.

    Raises:
        DeviceError: one was not reported as it should be.
    """
    found = {"ping": f"{min(device.ping() for _ in range(20)) * 1e3:.3f} ms at best of 20"}
    for how, (limits, expected) in FAILURES.items():
        got: object = "no error"
        try:
            device.run("selftest", {"how": how}, **limits)
        except DeviceJobError as error:
            got = type(error).__name__
        if got != expected.__name__:
            raise DeviceError(
                f"the failure {how!r} is not told from others", expected=expected.__name__, got=got
            )
        found[how] = str(got)
        device.run("selftest", {"how": "print"})
    return found
