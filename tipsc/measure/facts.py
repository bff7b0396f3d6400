"""What the system tells about this machine, as plain values.

Everything is optional: what a system does not tell is None, and no text, however strange, is an
error. All readers take the root of the file system, so that a folder of files can stand for it.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tipsc.measure import jetson
from tipsc.measure.gpu import read_gpu

MAX_TEXT_BYTES = 16_000_000  # /proc/cpuinfo of a machine with a thousand cores, dpkg's list
COMMAND_S = 10.0

# Of the hundred flags of a processor, the ones that decide which kernels a backend takes.
_VECTOR_FLAG = re.compile(
    r"^(sse4_[12]|avx.*|fma|f16c|amx.*|gfni|neon|asimd.*|fphp|fp16|sve.*|sme[0-9fib].*|i8mm|bf16|dotprod)$"
)


def read_facts(root: Path = Path("/")) -> dict[str, Any]:
    """The fields of :class:`tipsc.profile.System`, as JSON values."""
    cpuinfo = _cpuinfo(root)
    memory = _memory_mib(root)
    return {
        "cpu": _cpu(cpuinfo),
        "board": _board(root),
        "architecture": platform.machine() or None,
        "vector_flags": sorted(filter(_VECTOR_FLAG.match, _flags(cpuinfo))),
        "cores": [_core(number, root) for number in _core_numbers(root, cpuinfo)],
        "thermal_zones": list(_thermal_zones(root)),
        "load_1m": _number((_text(root, "proc/loadavg") or "").split(" ")[0]),
        "memory_total_mib": memory.get("MemTotal"),
        "memory_available_mib": memory.get("MemAvailable"),
        "kernel": _text(root, "proc/sys/kernel/osrelease") or platform.release() or None,
        "python": platform.python_version(),
        "virtualised": _virtualised(root, cpuinfo),
        **_release(root),
        "power_mode": _power_mode(root),
        "gpu": _gpu(root),
    }


def max_frequency_mhz(core: int, root: Path = Path("/")) -> float | None:
    """The highest frequency that a core can have, in MHz."""
    return _megahertz(root, core, "cpuinfo_max_freq")


def _release(root: Path) -> dict[str, str | None]:
    """Release of the system of a Jetson; the list of packages is long, so only there."""
    l4t = jetson.parse_l4t(_text(root, "etc/nv_tegra_release") or "")
    packages = (_text(root, "var/lib/dpkg/status") or "") if l4t else ""
    return {"l4t": l4t, "jetpack": jetson.parse_jetpack(packages)}


def _power_mode(root: Path) -> str | None:
    """What the system's ``nvpmodel`` says; it is not asked when a folder stands for the system."""
    places = "/usr/sbin:/usr/bin"  # which a shell without a login may not look into
    command = shutil.which("nvpmodel") or shutil.which("nvpmodel", path=places)
    if root != Path("/") or command is None:
        return None
    try:
        done = subprocess.run(
            [command, "-q"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    name = jetson.parse_power_mode(done.stdout.decode("utf-8", "replace")).name
    return None if name == jetson.UNKNOWN else name


def _gpu(root: Path) -> dict[str, Any] | None:
    clocks = jetson.read_gpu_clocks(root / "sys/class/devfreq")
    found = read_gpu() if root == Path("/") else {}
    return {**found, **clocks} or None


def _text(root: Path, name: str) -> str | None:
    """The stripped text of a file, or None when it is missing, empty or not readable."""
    try:
        with (root / name).open("rb") as stream:
            raw = stream.read(MAX_TEXT_BYTES)
    except (OSError, ValueError):
        return None
    return raw.decode("utf-8", "replace").strip(" \t\r\n\0") or None


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*-?\d{1,15}(\.\d{1,15})?\s*", text, re.ASCII):
        return None
    return float(text)


def _cpuinfo(root: Path) -> list[tuple[str, str]]:
    lines = (_text(root, "proc/cpuinfo") or "").splitlines()
    pairs = (line.partition(":") for line in lines)
    return [(key.strip(), value.strip()) for key, colon, value in pairs if colon]


def _values(cpuinfo: Iterable[tuple[str, str]], *keys: str) -> list[str]:
    return [value for key, value in cpuinfo if key in keys]


def _cpu(cpuinfo: list[tuple[str, str]]) -> str | None:
    named = _values(cpuinfo, "model name", "Processor", "cpu model", "Model")
    if named:
        return named[0]
    implementer, part = _values(cpuinfo, "CPU implementer"), _values(cpuinfo, "CPU part")
    return f"implementer {implementer[0]} part {part[0]}" if implementer and part else None


def _flags(cpuinfo: list[tuple[str, str]]) -> set[str]:
    listed = _values(cpuinfo, "flags", "Features")
    return set(listed[0].split()) if listed else set()


def _board(root: Path) -> str | None:
    names = ("proc/device-tree/model", "sys/class/dmi/id/product_name")
    return next(filter(None, (_text(root, name) for name in names)), None)


def _core_numbers(root: Path, cpuinfo: list[tuple[str, str]]) -> list[int]:
    listed = [int(n) for n in _values(cpuinfo, "processor") if re.fullmatch(r"[0-9]{1,4}", n)]
    if listed:
        return listed
    folders = _entries(root / "sys/devices/system/cpu", r"cpu[0-9]{1,4}")
    return sorted(int(folder.name[3:]) for folder in folders)


def _core(number: int, root: Path) -> dict[str, Any]:
    return {
        "number": number,
        "current_mhz": _megahertz(root, number, "scaling_cur_freq"),
        "min_mhz": _megahertz(root, number, "cpuinfo_min_freq"),
        "max_mhz": _megahertz(root, number, "cpuinfo_max_freq"),
        "governor": _text(root, f"sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor"),
    }


def _megahertz(root: Path, core: int, name: str) -> float | None:
    kilohertz = _number(_text(root, f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}"))
    return None if kilohertz is None else kilohertz / 1000.0


def _thermal_zones(root: Path) -> Iterable[dict[str, Any]]:
    for folder in _entries(root / "sys/class/thermal", r"thermal_zone[0-9]+"):
        millidegrees = _number(_text(folder, "temp"))
        if millidegrees is not None:
            name = _text(folder, "type") or folder.name
            yield {"name": name, "celsius": millidegrees / 1000.0}


def _entries(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(e for e in folder.iterdir() if re.fullmatch(pattern, e.name, re.ASCII))
    except OSError:
        return []


def _memory_mib(root: Path) -> dict[str, float]:
    lines = (_text(root, "proc/meminfo") or "").splitlines()
    found = (re.match(r"(\w+):\s+(\d{1,15}) kB$", line, re.ASCII) for line in lines)
    return {match[1]: round(int(match[2]) / 1024.0, 1) for match in found if match}


def _virtualised(root: Path, cpuinfo: list[tuple[str, str]]) -> bool | None:
    if "hypervisor" in _flags(cpuinfo) or _text(root, "sys/hypervisor/type"):
        return True
    # Only x86 processors tell a guest reliably that it is one; silence elsewhere says nothing.
    return False if _values(cpuinfo, "flags") else None
