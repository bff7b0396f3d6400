"""What else a machine does while something is measured: what the kernel counts, read twice.

Linux tells the CPU time of every core (``/proc/stat``: all processes together, and what a
hypervisor took), how long a thread was ready and waited for a core (``schedstat`` of the thread, to
the nanosecond), and how often a core was slowed down because it was hot. What this process used
itself is taken off. Where a system tells nothing, the answer is None and never a zero.

https://docs.kernel.org/filesystems/proc.html (1.7), https://docs.kernel.org/scheduler/sched-stats.html
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_TICKS = 100  # USER_HZ: what /proc/stat counts in, on every architecture that Linux runs on
_COARSE_S = 0.02  # two ticks: how far two readings of a core's time may be off
_LEAST_S = 0.2  # shorter than this, ticks tell nothing
_FILE_BYTES = 4_000_000
_THROTTLES = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"


@dataclass(frozen=True)
class Counters:
    """What was counted until now.

    Attributes:
        at_s: a clock that only increases.
        own_s: CPU time of all threads of this process, and of its children that ended.
        busy_s: by core, CPU time of all processes; empty where the system does not tell.
        stolen_s: by core, what the hypervisor gave to other machines.
        throttled: by core, how often its heat slowed it down.
        cooled: whether the kernel slows processors down now, to cool them.
    """

    at_s: float
    own_s: float
    busy_s: Mapping[int, float]
    stolen_s: Mapping[int, float]
    throttled: Mapping[str, int]
    cooled: bool


def read_counters(root: Path = Path("/")) -> Counters:
    """Reads them below `root`."""
    busy, stolen = {}, {}
    for line in _text(root / "proc/stat").splitlines():
        fields = line.split()
        if len(fields) < 9 or not re.fullmatch(r"cpu[0-9]{1,4}", fields[0], re.ASCII):
            continue
        try:
            user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
        except ValueError:
            continue
        core = int(fields[0][3:])
        busy[core] = (user + nice + system + irq + softirq) / _TICKS
        stolen[core] = steal / _TICKS
    throttled = {file.parts[-3]: _whole(file) for file in root.glob(_THROTTLES)}
    children = os.times()
    own = time.process_time() + children.children_user + children.children_system
    now = time.monotonic(), own
    return Counters(*now, busy, stolen, throttled, _cooled(root))


@dataclass(frozen=True)
class Others:
    """What others had of some cores between two readings, as shares of the cores' time.

    Attributes:
        others: of other processes; None where that cannot be told.
        stolen: of other virtual machines; None likewise.
        throttled: whether heat slowed a core down.
    """

    others: float | None = None
    stolen: float | None = None
    throttled: bool = False


def others_between(before: Counters, after: Counters, cores: Sequence[int]) -> Others:
    """What others did between two readings.

    Args:
        cores: that are asked about; all if there is none.
    """
    known = [
        core for core in cores or after.busy_s if core in before.busy_s and core in after.busy_s
    ]
    elapsed, own = after.at_s - before.at_s, after.own_s - before.own_s
    hot = after.cooled or any(
        count > before.throttled.get(core, count) for core, count in after.throttled.items()
    )
    if not known or elapsed < _LEAST_S:
        return Others(None, None, hot)
    busy = sum(after.busy_s[core] - before.busy_s[core] for core in known)
    stolen = sum(after.stolen_s[core] - before.stolen_s[core] for core in known)
    if busy + _COARSE_S * len(known) < own / 2:  # a sandbox that shows an empty /proc/stat
        return Others(None, None, hot)
    # This process counts in full, wherever its threads ran: others are rather told too low.
    return Others(
        min(max(busy - own - _COARSE_S * len(known), 0.0) / (elapsed * len(known)), 1.0),
        min(max(stolen, 0.0) / (elapsed * len(known)), 1.0),
        hot,
    )


class Waiting:
    """How long the thread that made it was ready to run while others had its core.

    Args:
        asked: False: nothing is told.
    """

    def __init__(self, asked: bool = True, root: Path = Path("/")) -> None:
        self._begin: tuple[int, int, int] | None = None
        self._file: int | None = None
        if asked:
            with suppress(OSError):
                self._file = os.open(root / "proc/thread-self/schedstat", os.O_RDONLY)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def begin(self) -> None:
        """Starts to count; a few microseconds."""
        self._begin = self._read()

    def nanoseconds(self) -> int | None:
        """Waited since :meth:`begin`, without what this process's other threads may have caused.

        None where the system does not tell.
        """
        begin, end = self._begin, self._read()
        if begin is None or end is None:
            return None
        waited, process, thread = (after - before for before, after in zip(begin, end, strict=True))
        return max(waited - max(process - thread, 0), 0)

    def _read(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        try:
            waited = int(os.pread(self._file, 128, 0).split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return waited, time.process_time_ns(), time.thread_time_ns()


def _cooled(root: Path) -> bool:
    """Whether a cooling device that slows processors down is at work (ARM; x86 counts)."""
    return any(
        "cpu" in _text(device / "type").lower() and _whole(device / "cur_state") > 0
        for device in root.glob("sys/class/thermal/cooling_device[0-9]*")
    )


def _whole(file: Path) -> int:
    text = _text(file).strip()
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) else 0


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(_FILE_BYTES).decode("ascii", "replace")
    except (OSError, ValueError):
        return ""
