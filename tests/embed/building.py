"""Builds of embed/ with CMake."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

EMBED = Path(__file__).parents[2] / "embed"


def missing_tools(*names: str) -> str:
    """The first that is not installed; empty if all are."""
    return next((name for name in names if shutil.which(name) is None), "")


def built(folder: Path, *options: str) -> Path:
    """`folder`, with embed/ built in it.

    Args:
        options: of CMake, such as ``-DTIPSC_FUZZ=ON``.
    """
    run(["cmake", "-S", str(EMBED), "-B", str(folder), *options])
    run(["cmake", "--build", str(folder)])
    return folder


def run(command: list[str], **options: object) -> str:
    """What a command says; raises AssertionError with it if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    said: str = done.stdout
    return said
