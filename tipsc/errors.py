"""Every exception that tipsc raises on purpose.

::

    TipscError                     exit code 1: something failed
    ├── MissingExtraError          a package of an optional extra is not installed
    ├── TrainingError              training cannot go on (diverged, checkpoint does not fit)
    ├── ConversionError            a model cannot be made elastic
    ├── LoweringError              a path cannot be turned into a portable graph
    ├── VerificationError          a compiled path does not compute what torch computes
    ├── ProfileError               a measurement or a profile is not usable
    ├── UsageError                 exit code 2: the caller can put it right
    │   ├── ConfigError            tipsc.yaml
    │   ├── PathError              a choice, an option or a path id that the space does not have
    │   ├── BudgetError            no path fits the time budget
    │   ├── DataError              data of the wrong shape, type or range
    │   └── TargetError            no such target, or a target file that is not valid
    ├── EngineError                exit code 3: this engine cannot be used here
    │   ├── EngineDamagedError     truncated, flipped bits, not an engine at all
    │   ├── EngineVersionError     written in a format that this version does not read
    │   └── EngineDeviceError      built for another backend, instruction set or device
    └── DeviceError                exit code 4: the device, or the link to it
        ├── DeviceLinkError        the link broke, or was never made
        ├── DeviceProtocolError    what came back is not the agent's protocol, or another version
        ├── DeviceStorageError     something does not fit on the device, or is in use there
        └── DeviceJobError         a job failed on the device; the next one works
            ├── DeviceMemoryError  it ran out of memory
            ├── DevicePackageError it needs a package, or a Python, that is not there
            ├── DeviceCrashError   its process died (segmentation fault, abort)
            └── DeviceTimeoutError it took too long and was killed

Each carries its context as attributes, and prints as one sentence or two: what was wrong, where,
what was expected and found, and how to put it right.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TipscError(Exception):
    """Base of all errors of tipsc.

    Args:
        what: what is wrong, a clause without a full stop.
        where: the file, layer, section or field concerned.
        expected: what would have been right.
        got: what was there instead.
        fix: what the reader can do about it, an imperative clause.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: object = None,
        got: object = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        details = []
        if self.expected is not None:
            details.append(f"expected {self.expected}")
        if self.got is not None:
            details.append(f"got {self.got}")
        if details:
            text += f" ({', '.join(details)})"
        return f"{text}; {self.fix}" if self.fix else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling between processes.
        return (_rebuild, (type(self), self.what, dict(self.__dict__)))


def _rebuild(cls: type[TipscError], what: str, state: dict[str, object]) -> TipscError:
    error = cls(what)
    error.__dict__.update(state)
    error.args = (str(error),)
    return error


class MissingExtraError(TipscError):
    """A package that belongs to an optional extra is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtraError:
        return cls(
            f"{purpose} needs the package {package}, which is not installed",
            fix=f"run: pip install 'tipsc[{extra}]'",
        )


class TrainingError(TipscError):
    """Training cannot go on."""


class ConversionError(TipscError):
    """A model cannot be made elastic; nothing was guessed."""


class LoweringError(TipscError):
    """A path cannot be turned into a portable graph."""


class VerificationError(TipscError):
    """A compiled path does not compute what the torch subnetwork computes."""


class ProfileError(TipscError):
    """A measurement or a stored profile is not usable."""


class UsageError(TipscError):
    """The caller asked for something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file is not valid."""


class PathError(UsageError):
    """A choice, option or path id that the search space does not have."""


class BudgetError(UsageError):
    """No path fits the time budget."""


class DataError(UsageError):
    """Data of the wrong shape, type or range."""


class TargetError(UsageError):
    """No such target, or a target file that is not valid."""


class EngineError(TipscError):
    """This engine cannot be used here."""

    exit_code = 3


class EngineDamagedError(EngineError):
    """The file is truncated, altered, or not an engine."""


class EngineVersionError(EngineError):
    """The file is of a format version that this tipsc does not read."""


class EngineDeviceError(EngineError):
    """The engine was built for another backend, instruction set or device."""


class DeviceError(TipscError):
    """The device, or the link to it."""

    exit_code = 4


class DeviceLinkError(DeviceError):
    """The link to the device broke, or was never made."""


class DeviceProtocolError(DeviceError):
    """What came back is not the agent's protocol, or of another version."""


class DeviceStorageError(DeviceError):
    """Something does not fit on the device, or is in use there."""


class DeviceJobError(DeviceError):
    """A job failed on the device; the next one works."""


class DeviceMemoryError(DeviceJobError):
    """A job ran out of memory."""


class DevicePackageError(DeviceJobError):
    """A job needs a package, or a newer Python, than the device has."""


class DeviceCrashError(DeviceJobError):
    """A job's process died."""


class DeviceTimeoutError(DeviceJobError):
    """A job took too long and was killed."""


def near(name: str, known: Iterable[str]) -> str:
    """A clause that names the known names, the nearest first ("did you mean ...?")."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}" if names else "none is known"
