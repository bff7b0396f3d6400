"""What a Jetson says about itself, read from text: release, power mode, clocks, sensors.

Standard library only, in Python 3.8 syntax: it also runs on the device. Text that is not known
gives ``unknown`` (or leaves a value out), and never an error: a profile with a hole in it is worth
more than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

UNKNOWN = "unknown"

_RELEASE = re.compile(r"^# R(\d{1,3}) \(release\), REVISION: (\d{1,3}(?:\.\d{1,3}){0,2})\b")
_PACKAGE = re.compile(r"^Package: nvidia-jetpack\n(?:.+\n)*?Version: (\S{1,64})$", re.MULTILINE)
#: names that the GPU's entry in devfreq has had, from the TX1 on to Thor
_GPU_CLOCK = re.compile(r"\.(gpu|g[a-z]\d\d[a-z])$|^gpu-gpc-\d+$")
_MODE = re.compile(r"NV Power Mode:[ \t]*(\S[^\r\n]*)")
_NUMBER = re.compile(r"^\s*(\d{1,4})\s*$", re.MULTILINE)
_TEMPERATURE = re.compile(r"(?<!\S)([A-Za-z][A-Za-z0-9_.-]*)@(-?\d{1,4}(?:\.\d{1,6})?)C(?!\S)")
_POWER = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]*) (\d{1,7})(?:mW)?/(\d{1,7})(?:mW)?(?!\S)")
_RAM = re.compile(r"(?<!\S)RAM (\d{1,9})/(\d{1,9})MB")
_GPU = re.compile(r"(?<!\S)GR3D_FREQ (\d{1,3})%(?:@\[?(\d{1,6}))?")
_CPU = re.compile(r"(?<!\S)CPU \[([^\]]{0,4000})\]")
_CORE = re.compile(r"^(\d{1,3})%@(\d{1,6})$")
#: the rail that feeds the whole module, by its names on Orin Nano, Orin NX and on the first Nano;
#: AGX modules have rails for parts only, of which none stands for the whole
_INPUT_RAILS = ("VDD_IN", "POM_5V_IN")
_COLDEST, _HOTTEST = -100.0, 200.0  # degrees Celsius; a sensor that is off reports -256


@dataclass(frozen=True)
class PowerMode:
    """What ``nvpmodel -q`` says: a name ("15W", "MAXN"), and its number where one is given."""

    name: str = UNKNOWN
    number: int | None = None


@dataclass(frozen=True)
class TegraStats:
    """One line of tegrastats; what it did not say is None or not there.

    Attributes:
        ram_used_mb, ram_total_mb: of the memory that processor and GPU share.
        gpu_percent, gpu_mhz: load and clock of the GPU.
        cpu_mhz: clock of each core that is on.
        celsius: temperature by zone.
        milliwatts: power of this moment by rail.
    """

    ram_used_mb: int | None = None
    ram_total_mb: int | None = None
    gpu_percent: int | None = None
    gpu_mhz: int | None = None
    cpu_mhz: list[int] = field(default_factory=list)
    celsius: dict[str, float] = field(default_factory=dict)
    milliwatts: dict[str, int] = field(default_factory=dict)

    @property
    def input_milliwatts(self) -> int | None:
        """Power that the module takes in, if a rail that is known for it is reported."""
        found = input_milliwatts(self.milliwatts)
        return None if found is None else int(found)


def parse_l4t(text: str) -> str | None:
    """The release in ``/etc/nv_tegra_release``, as "36.4.3"."""
    found = _RELEASE.match(text)
    return f"{found.group(1)}.{found.group(2)}" if found else None


def parse_jetpack(text: str) -> str | None:
    """The version of the package nvidia-jetpack in ``/var/lib/dpkg/status``, if it is installed."""
    found = _PACKAGE.search(text)
    return found.group(1) if found else None


def read_gpu_clocks(root: Path = Path("/sys/class/devfreq")) -> dict[str, float]:
    """``current_mhz``, ``min_mhz`` and ``max_mhz`` of the GPU, those that are told.

    ``cur_freq``, ``min_freq`` and ``max_freq`` are in Hz:
    https://docs.kernel.org/admin-guide/abi-testing.html#abi-sys-class-devfreq-cur-freq
    """
    folders = [f for f in sorted(root.glob("*")) if _GPU_CLOCK.search(f.name)]
    found = {}
    for name, file in (("current", "cur"), ("min", "min"), ("max", "max")):
        values = [_integer(folder / f"{file}_freq") for folder in folders]
        known = [value for value in values if value is not None]
        if known:
            found[f"{name}_mhz"] = known[0] / 1e6
    return found


def parse_power_mode(text: str) -> PowerMode:
    """What ``nvpmodel -q`` printed, with or without ``--verbose``."""
    mode = _MODE.search(text)
    if mode is None:
        return PowerMode()
    number = _NUMBER.search(text, mode.end())
    return PowerMode(mode.group(1).strip(), int(number.group(1)) if number else None)


def parse_tegrastats(line: str) -> TegraStats:
    """One line of tegrastats, of any release: what is not known is passed over."""
    ram, gpu, cpu = _RAM.search(line), _GPU.search(line), _CPU.search(line)
    cores = [_CORE.match(core.strip()) for core in cpu.group(1).split(",")] if cpu else []
    celsius = {name: float(value) for name, value in _TEMPERATURE.findall(line)}
    return TegraStats(
        ram_used_mb=int(ram.group(1)) if ram else None,
        ram_total_mb=int(ram.group(2)) if ram else None,
        gpu_percent=int(gpu.group(1)) if gpu else None,
        gpu_mhz=int(gpu.group(2)) if gpu and gpu.group(2) else None,
        cpu_mhz=[int(core.group(2)) for core in cores if core],
        celsius={name: t for name, t in celsius.items() if _COLDEST < t < _HOTTEST},
        milliwatts={name: int(now) for name, now, _ in _POWER.findall(line) if name != "RAM"},
    )


def read_thermal_zones(root: Path = Path("/sys/class/thermal")) -> dict[str, float]:
    """Temperature in degrees Celsius by zone, of those zones that can be read now.

    ``thermal_zone*/type`` is a name, ``temp`` is in thousandths of a degree:
    https://docs.kernel.org/driver-api/thermal/sysfs-api.html
    """
    found = {}
    for zone in sorted(root.glob("thermal_zone*")):
        name, value = _text(zone / "type"), _integer(zone / "temp")
        if name and value is not None and _COLDEST < value / 1000 < _HOTTEST:
            found[name] = value / 1000
    return found


def read_ina3221(root: Path = Path("/sys/bus/i2c/drivers/ina3221")) -> dict[str, float]:
    """Power in milliwatts by rail, of the INA3221 sensors that can be read now.

    ``hwmon*/in<n>_label`` names a channel, ``in<n>_input`` is in mV and ``curr<n>_input`` in mA:
    https://docs.kernel.org/hwmon/ina3221.html
    """
    found = {}
    for label in sorted(root.glob("*/hwmon/hwmon*/in*_label")):
        number = re.match(r"in([1-3])_label$", label.name)
        if number is None:
            continue  # the sum of the shunts, which is no power
        millivolts = _integer(label.with_name(f"in{number.group(1)}_input"))
        milliamperes = _integer(label.with_name(f"curr{number.group(1)}_input"))
        name = _text(label)
        if name and millivolts is not None and milliamperes is not None:
            found[name] = millivolts * milliamperes / 1000
    return found


def input_milliwatts(rails: Mapping[str, float]) -> float | None:
    """Power that the module takes in, if a rail that is known for it is among `rails`."""
    found = [rails[name] for name in _INPUT_RAILS if name in rails]
    return found[0] if found else None


def _text(file: Path) -> str:
    try:
        return file.read_bytes()[:256].decode("utf-8", "replace").strip()
    except OSError:  # a sensor that is off
        return ""


def _integer(file: Path) -> int | None:
    text = _text(file)
    return int(text) if re.match(r"^-?\d{1,12}$", text) else None
