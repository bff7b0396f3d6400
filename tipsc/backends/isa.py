"""The instruction set of this machine, as far as a finalised graph depends on it."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

#: what kernel libraries dispatch on; all else in /proc/cpuinfo makes no difference to them
_FLAGS = """
    sse4_1 avx avx2 fma f16c avx_vnni avx_vnni_int8 avx512f avx512bw avx512dq avx512vl
    avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16
    neon asimd fphp asimdhp asimddp i8mm bf16 sve sve2 svei8mm svebf16 sme sme2
"""


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
