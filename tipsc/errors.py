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
    │   ├── EngineSignatureError   not signed by a key that is trusted
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

from tipsc.printable import cut, printable

_NAME = 80  # characters of a name that an error shows


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
        # Its parts may come from a file or a device; as attributes they stay exact.
        return printable(f"{text}; {self.fix}" if self.fix else text)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling between processes.
        return (_rebuild, (type(self), self.what, dict(self.__dict__)))


def _rebuild(cls: type[TipscError], what: str, state: dict[str, object]) -> TipscError:
    error = cls(what)
    error.__dict__.update(state)
    error.args = (str(error),)
    return error


class MissingExtraError(TipscError):
    """A package that belongs to an optional extra is not installed, or cannot be loaded."""

    @classmethod
    def of(cls, package: str, extra: str | None, purpose: str) -> MissingExtraError:
        """The error of a package that is missing.

        Args:
            package: its name, as pip has it.
            extra: of tipsc, which brings it; None for the base installation.
            purpose: what needs it.
        """
        from tipsc.extras import how_to_install

        return cls(
            f"{purpose} needs the package {package}, which is not installed",
            fix=how_to_install(extra),
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


class EngineSignatureError(EngineError):
    """The engine is not signed by a key that is trusted."""


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


def first_line(error: BaseException, limit: int = 200) -> str:
    """The first line of what a foreign exception says, or its class if it says nothing."""
    text = str(error).strip()
    return cut(text.splitlines()[0], limit) if text else type(error).__name__


def near(name: str, known: Iterable[str]) -> str:
    """A clause that names the known names, the nearest first ("did you mean ...?")."""
    names = sorted(known)
    heads = [known_name[:_NAME] for known_name in names]
    close = difflib.get_close_matches(name[:_NAME], heads, n=4, cutoff=0.5)
    if close:
        more = ", …" if len(close) > 3 else ""
        return f"did you mean {' or '.join(close[:3])}{more}?"
    return f"known: {listed(names)}" if names else "none is known"


def listed(names: Iterable[object], most: int = 12) -> str:
    """Names with commas, and how many more there are if not all are shown.

    Args:
        most: names that are shown.
    """
    shown = [str(name) for name in names]
    more = f", … ({len(shown) - most} more)" if len(shown) > most else ""
    return ", ".join(cut(name, _NAME) for name in shown[:most]) + more
