"""What the system tells about the machine that was measured; see :mod:`tipsc.measure.facts`."""

from __future__ import annotations

import json
from pathlib import Path

from tipsc.measure.facts import read_facts
from tipsc.profile.record import Record


class Core(Record):
    """One core: frequencies in MHz, and the name of its frequency governor."""

    number: int
    current_mhz: float | None = None
    min_mhz: float | None = None
    max_mhz: float | None = None
    governor: str | None = None


class ThermalZone(Record):
    name: str
    celsius: float


class GPU(Record):
    """The GPU that CUDA finds; clocks in MHz."""

    name: str | None = None
    compute_capability: str | None = None
    current_mhz: float | None = None
    min_mhz: float | None = None
    max_mhz: float | None = None


class System(Record):
    """A machine at one moment. None means that the system does not tell.

    `l4t` and `jetpack` are the release of a Jetson's system, `power_mode` is what nvpmodel says.
    """

    cpu: str | None = None
    board: str | None = None
    architecture: str | None = None
    vector_flags: tuple[str, ...] = ()
    cores: tuple[Core, ...] = ()
    thermal_zones: tuple[ThermalZone, ...] = ()
    load_1m: float | None = None
    memory_total_mib: float | None = None
    memory_available_mib: float | None = None
    kernel: str | None = None
    python: str | None = None
    virtualised: bool | None = None
    l4t: str | None = None
    jetpack: str | None = None
    power_mode: str | None = None
    gpu: GPU | None = None


def read_system(root: Path = Path("/")) -> System:
    """Everything that the machine under `root` tells about itself now."""
    return System.model_validate_json(json.dumps(read_facts(root)))
