"""An answer that is no result, as the error that it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tipsc.errors
from tipsc.device.incoming import readable
from tipsc.errors import (
    DeviceCrashError,
    DeviceError,
    DeviceJobError,
    DeviceMemoryError,
    DevicePackageError,
    DeviceProtocolError,
    DeviceStorageError,
    DeviceTimeoutError,
    TipscError,
)

#: kind to error, what is wrong (in which job), and what to do
ERRORS: Mapping[str, tuple[type[DeviceError], str, str]] = {
    "memory": (
        DeviceMemoryError,
        "the job {job} ran out of memory",
        "give it less to do, or free memory there",
    ),
    "crash": (
        DeviceCrashError,
        "the process of the job {job} died",
        "start it again; if it dies again, look at the backend there",
    ),
    "timeout": (
        DeviceTimeoutError,
        "the job {job} took too long and was killed",
        "see what else runs there",
    ),
    "storage": (
        DeviceStorageError,
        "there is no room on the device",
        "free space there (tipsc device clean URL), or allow more: &quota=8G in the URL",
    ),
    "system": (
        DeviceStorageError,
        "the device's system refuses what the agent does",
        "look at the rights and the disk there",
    ),
    "busy": (DeviceStorageError, "the device is in use", "wait for it, or end it there"),
    "missing": (
        DeviceStorageError,
        "another client took a blob out of the device's store",
        "start it again",
    ),
    "package": (
        DevicePackageError,
        "a package is missing on the device, or broken",
        "install it there for the Python of the agent, or name another: ?python=/path/to/python3",
    ),
    "protocol": (DeviceProtocolError, "the agent refuses a request", "start it again"),
    "failed": (DeviceJobError, "the job {job} failed", "correct what it says"),
}


def error_of(
    message: Mapping[str, Any], url: str, job: str, names: Mapping[str, str]
) -> TipscError | None:
    """The error of an answer; None if it is no answer of the agent's.

    Args:
        url: of the device.
        job: that was asked for, or "".
        names: of files by digest, which is what the device calls them.
    """

    def named(told: Any) -> str | None:
        if told is None:
            return None
        text = readable(told)
        for digest, name in names.items():
            text = text.replace(digest, name)
        return text

    kind, facts = str(message.get("error")), message.get("facts")
    own = getattr(tipsc.errors, str(message.get("kind")), None)
    if (
        kind == "failed"
        and isinstance(own, type)
        and issubclass(own, TipscError)
        and isinstance(facts, dict)
    ):
        known = {name: named(facts.get(name)) for name in ("where", "expected", "got", "fix")}
        return own(f"on {url}: {named(facts.get('what')) or kind}", **known)
    if kind not in ERRORS:
        return None
    error, what, fix = ERRORS[kind]
    got = readable(message.get("message"))
    return error(what.format(job=job or "of the agent"), where=url, got=got, fix=fix)
