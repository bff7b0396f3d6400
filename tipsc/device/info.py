"""What a device is: what its agent says in its greeting, and what its system tells."""

from __future__ import annotations

from typing import Any

from tipsc.device.client import Connection
from tipsc.device.expected import FACTS
from tipsc.errors import DeviceJobError


def read_info(device: Connection) -> dict[str, Any]:
    """The agent's greeting, over which stands what the job ``facts`` finds.

    Both need Python 3.8 there; where the job fails, ``facts`` says why.
    """
    known: dict[str, Any] = {"url": device.link.url, **device.capabilities}
    try:
        return {**known, **device.run("facts", {}, expected=FACTS).result}
    except DeviceJobError as error:
        return {**known, "facts": str(error)}


def lines_of(info: dict[str, Any]) -> list[str]:
    """The same for people, one line each; what is not told says so."""
    return [f"{name:<22}{_shown(value)}" for name, value in info.items() if name not in _LONG]


#: told in full by ``--format json`` only
_LONG = frozenset({"clocks_mhz", "thermal_zones_mc", "vector_flags"})


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "unknown"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        if all(isinstance(item, dict) and "celsius" in item for item in value):
            return ", ".join(f"{zone['name']} {zone['celsius']:.1f} C" for zone in value)
        if all(isinstance(item, dict) and "number" in item for item in value):
            return f"{len(value)}: " + ", ".join(sorted({_core(item) for item in value}))
        return ", ".join(_shown(item) for item in value)
    return str(value)


def _core(core: dict[str, Any]) -> str:
    mode = f" ({core['governor']})" if core["governor"] else ""
    return f"{_shown(core['min_mhz'])} to {_shown(core['max_mhz'])} MHz{mode}"
