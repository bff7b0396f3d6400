"""What brings a package that tipsc needs, and the command that installs it.

tipsc stands in no package index, so that ``pip install tipsc`` finds nothing. In a clone the extra
is installed from there; where tipsc was installed from a wheel, its requirements are named.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
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
    ("torchmetrics", "train"),
    ("pycocotools", "train"),
    ("ai-edge-litert", "litert"),
    ("litert-torch", "litert-build"),
    ("ai-edge-quantizer", "litert-build"),
    ("tensorrt-rtx-cu12", "tensorrt-check"),
    ("matplotlib", "report"),
    ("cryptography", "sign"),
)
#: what each extra is for; None: the base installation
PURPOSES: dict[str | None, str] = {
    None: "everything needs it",
    "train": "for building engines; docs/how-to/install.md: without a GPU's gigabytes",
    "litert": "for running engines for boards and phones here",
    "litert-build": "for building engines for boards and phones",
    "tensorrt-check": "for trying paths for a Jetson on a PC",
    "report": "for pictures of benchmarks",
    "sign": "for signing engines, and for checking who signed one",
}
#: packages that are imported by another name
_IMPORTED_AS = {"yaml": "PyYAML", "tensorrt_rtx": "tensorrt-rtx-cu12"}


def package_of(module: str) -> tuple[str, str | None] | None:
    """The package of tipsc's own that is imported as `module`, and its extra; None: another's."""
    top = module.partition(".")[0]
    package = _IMPORTED_AS.get(top, top.replace("_", "-"))
    return next((found for found in PACKAGES if found[0] == package), None)


def how_to_install(extra: str | None) -> str:
    """An imperative clause with the command that installs an extra, or the base installation.

    It names no folder: what it says can be shown in public. Where the extra does not exist for this
    Python or machine it says so: no command would bring it.
    """
    if reason := not_here(extra):
        return reason
    wanted = f".[{extra}]" if extra else "."
    if not in_a_clone() and (needed := _requirements(extra)):
        return f"run: {pip_install(needed)}"
    return f"run in the folder of tipsc's pyproject.toml: pip install -e '{wanted}'"


def not_here(extra: str | None) -> str | None:
    """Where an extra can be installed, if not here; None: here. The markers in pyproject.toml."""
    if extra == "litert-build" and sys.version_info < (3, 11):
        return "use Python 3.11 or newer: its packages have no release for this one"
    if extra == "tensorrt-check" and not (
        sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 14)
    ):
        return "use a PC with Linux, x86-64 and Python below 3.14: its package has no other release"
    return None


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
