"""The instruction set of this machine, as far as a finalised graph depends on it."""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from pathlib import Path

#: what kernel libraries dispatch on; all else in /proc/cpuinfo makes no difference to them
_FLAGS = """
    sse4_1 avx avx2 fma f16c avx_vnni avx_vnni_int8 avx512f avx512bw avx512dq avx512vl
    avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16
    neon asimd fphp asimdhp asimddp i8mm bf16 sve sve2 svei8mm svebf16 sme sme2
"""
#: of Linux: the entry of the auxiliary vector with a CPU's features, and the bit for arm64
_AT_HWCAP, _HWCAP_ATOMICS = 16, 1 << 8


@cache
def instruction_set() -> str:
    """Architecture and the flags that matter, for example ``x86_64 avx avx2 f16c fma sse4_1``.

    Where the system does not list flags (macOS, Windows) the processor's name stands for them.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}".strip()
    flags: set[str] = set()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags.update(set(_FLAGS.split()).intersection(value.split()))
    return " ".join([platform.machine(), *sorted(flags)])


def has_atomics(machine: str, features: int) -> bool:
    """Whether a CPU, if it is an arm64, has the atomics of ARMv8.1. A Raspberry Pi 4's has not.

    Args:
        machine: as ``platform.machine`` says it.
        features: of :func:`cpu_features`.
    """
    return machine != "aarch64" or bool(features & _HWCAP_ATOMICS)


def cpu_features() -> int:
    """The bits of Linux's auxiliary vector; all of them where the system does not tell."""
    try:
        return int(ctypes.CDLL(None).getauxval(_AT_HWCAP))
    except (OSError, AttributeError, TypeError):
        return -1
