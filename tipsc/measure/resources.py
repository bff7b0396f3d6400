"""Memory and energy: what a process holds, and what the module's sensor says that it takes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tipsc.measure import jetson
from tipsc.measure.loop import Call

ENERGY_S = 2.0  # of runs of one path; a sensor is read every few dozen milliseconds
_SAMPLE_S = 0.05

#: milliwatts that the whole module takes in now; None where no sensor tells
Power = Callable[[], "float | None"]


def resident_mib(root: Path = Path("/")) -> float | None:
    """Memory of this process that is resident, in MiB; ``statm`` counts pages."""
    try:
        pages = int((root / "proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def forget_peak(root: Path = Path("/")) -> None:
    """The peak of this process's memory begins anew, where the system can do that."""
    with contextlib.suppress(OSError):
        (root / "proc/self/clear_refs").write_text("5")


def peak_mib(root: Path = Path("/")) -> float | None:
    """Most memory that was resident at once since :func:`forget_peak`, in MiB."""
    try:
        lines = (root / "proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def input_power(root: Path = Path("/")) -> Power:
    """Reads the INA3221 sensors below `root`."""
    folder = root / "sys/bus/i2c/drivers/ina3221"
    return lambda: jetson.input_milliwatts(jetson.read_ina3221(folder))


@dataclass(frozen=True)
class Energy:
    """Of one call: what the whole module took meanwhile, idle power included.

    Attributes:
        millijoules: of one call.
        milliwatts: mean while calls ran.
        idle_milliwatts: just before.
        runs: that were made.
    """

    millijoules: float
    milliwatts: float
    idle_milliwatts: float
    runs: int


def measure_energies(
    calls: Mapping[str, Call], power: Power, seconds: float = ENERGY_S
) -> dict[str, float]:
    """Millijoules of each of these calls, which are made once before; without those of no sensor.

    An energy that is not above 0 is that of a sensor that is off.
    """
    found: dict[str, float] = {}
    for name, call in calls.items():
        call()
        energy = measure_energy(call, power, seconds)
        if energy is not None and energy.millijoules > 0:
            found[name] = energy.millijoules
    return found


def measure_energy(call: Call, power: Power, seconds: float = ENERGY_S) -> Energy | None:
    """Energy of a call that is repeated for `seconds`; None where no sensor tells."""
    idle = power()
    if idle is None:
        return None
    samples: list[float] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(_SAMPLE_S):
            value = power()
            if value is not None:
                samples.append(value)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    begin, runs = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        call()
        runs += 1
    elapsed = time.perf_counter() - begin
    done.set()
    sampler.join()
    if not samples:
        return None
    mean = sum(samples) / len(samples)
    return Energy(mean * elapsed / runs, mean, idle, runs)
