"""What brings a package that tipsc needs, and the command that installs it.

tipsc stands in no package index, so that ``pip install tipsc`` finds nothing. In a clone the extra
is installed from there; where tipsc was installed from a wheel, its requirements are named.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path

#: package, and the extra that brings it; None: the base installation
PACKAGES: tuple[tuple[str, str | None], ...] = (
    ("numpy", None),
    ("onnxruntime", None),
    ("pydantic", None),
    ("PyYAML", None),
    ("click", None),
    ("rich", None),
    ("torch", "train"),
    ("scipy", "train"),
    ("onnx", "train"),
    ("onnx-ir", "train"),
    ("onnxscript", "train"),
    ("ai-edge-litert", "litert"),
    ("litert-torch", "litert-build"),
    ("ai-edge-quantizer", "litert-build"),
    ("tensorrt-rtx-cu12", "tensorrt-check"),
    ("matplotlib", "report"),
    ("cryptography", "sign"),
)
#: packages that are imported by another name
_IMPORTED_AS = {"yaml": "PyYAML", "tensorrt_rtx": "tensorrt-rtx-cu12"}


def package_of(module: str) -> tuple[str, str | None] | None:
    """The package of tipsc's own that is imported as `module`, and its extra; None: another's."""
    top = module.partition(".")[0]
    package = _IMPORTED_AS.get(top, top.replace("_", "-"))
    return next((found for found in PACKAGES if found[0] == package), None)


def how_to_install(extra: str | None) -> str:
    """An imperative clause with the command that installs an extra, or the base installation.

    It names no folder: what it says can be shown in public.
    """
    wanted = f".[{extra}]" if extra else "."
    if not in_a_clone() and (needed := _requirements(extra)):
        return f"run: {pip_install(needed)}"
    return f"run in the folder of tipsc's pyproject.toml: pip install -e '{wanted}'"


def in_a_clone() -> bool:
    """Whether this tipsc is run from its sources."""
    return (Path(__file__).resolve().parent.parent / "pyproject.toml").is_file()


def pip_install(requirements: Iterable[str]) -> str:
    """The command that installs these."""
    return "pip install " + " ".join(f"'{requirement}'" for requirement in requirements)


def _requirements(extra: str | None) -> list[str]:
    """What an installed tipsc requires for an extra, extras of its own resolved."""
    try:
        lines = importlib.metadata.requires("tipsc") or []
    except importlib.metadata.PackageNotFoundError:  # its folder was copied to a device
        return []
    found: list[str] = []
    for line in lines:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        extras = re.findall(r"extra == ['\"]([^'\"]+)['\"]", marker)
        if extras != ([extra] if extra else []):
            continue
        own = re.fullmatch(r"tipsc\[([^\]]+)\]", requirement)
        for part in own[1].split(",") if own else ():
            found += _requirements(part.strip())
        if own is None:
            rest = re.sub(r"(\s+and\s+)?extra == ['\"][^'\"]+['\"]", "", marker).strip(" ()")
            found.append(requirement + (f"; {rest.replace(chr(39), chr(34))}" if rest else ""))
    return found
