"""Builds of embed/ with CMake."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

EMBED = Path(__file__).parents[2] / "embed"
TENSORRT = Path(__file__).with_name("tensorrt_stand_in")  # what stands for it


def missing_tools(*names: str) -> str:
    """The first that is not installed, of programs and of what libtipsc needs; empty if all are."""
    missing = next((name for name in (*names, "cc") if shutil.which(name) is None), "")
    return missing or ("" if _has_zlib() else "zlib.h")


@functools.cache
def _has_zlib() -> bool:
    command = ["cc", "-fsyntax-only", "-include", "zlib.h", "-xc", "/dev/null"]
    return subprocess.run(command, capture_output=True).returncode == 0


def built(folder: Path, *options: str) -> Path:
    """`folder`, with embed/ built in it.

    Args:
        options: of CMake, such as ``-DTIPSC_FUZZ=ON``.
    """
    run(["cmake", "-S", str(EMBED), "-B", str(folder), *options])
    run(["cmake", "--build", str(folder)])
    return folder


def with_tensorrt() -> tuple[str, ...]:
    """Options of CMake for engines of TensorRT, by the headers that stand for NVIDIA's."""
    if shutil.which("c++") is None:
        return ("-DTIPSC_TENSORRT=OFF",)
    names = ("TensorRT_INCLUDE_DIR", "CUDART_INCLUDE_DIR")
    return ("-DTIPSC_TENSORRT=ON", *(f"-D{name}={TENSORRT / 'include'}" for name in names))


def run(command: list[str], **options: object) -> str:
    """What a command says; raises AssertionError with it if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    said: str = done.stdout
    return said
