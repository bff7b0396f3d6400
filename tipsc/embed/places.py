"""Where the things lie that a project needs and does not contain."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

#: the runtime's library in its Python package, by backend
_LIBRARIES = {
    "onnxruntime": ("onnxruntime", "capi/libonnxruntime.so.*"),
    "litert": ("ai_edge_litert", "libLiteRt.so"),
}


def settings_of(commands: Iterable[str], backend: str) -> list[str]:
    """A line ``NAME=PLACE`` for each that the commands have: as it is on this machine.

    What is not found here gets a place that speaks for itself.
    """
    text = "\n".join(commands)
    return [
        f"{name}={shlex.quote(place)}"
        for name, place in _places(backend).items()
        if f"${name}" in text
    ]


def _places(backend: str) -> dict[str, str]:
    package, pattern = _LIBRARIES.get(backend, ("", ""))
    return {
        "TIPSC": _sources() or "/path/to/tipsc",
        "RUNTIME": _in_package(package, pattern) or "/path/to/libruntime.so",
        "KOTLIN": "/path/to/kotlin",
    }


def _sources() -> str:
    """The folder of tipsc's own sources, where it was installed from them as they stand."""
    folder = Path(__file__).resolve().parents[2]
    return str(folder) if (folder / "embed" / "CMakeLists.txt").is_file() else ""


def _in_package(package: str, pattern: str) -> str:
    """A file of a Python package that is installed here; it is not imported."""
    found = find_spec(package) if package else None
    if found is None or found.origin is None:
        return ""
    files = sorted(Path(found.origin).parent.glob(pattern))
    return str(files[0]) if files else ""
