"""libtipsc for arm64, and how it and Python run there: in the userland of ``make arm64``."""

from __future__ import annotations

import re
from pathlib import Path

from building import EMBED, built, run

ROOT = EMBED.parent
#: ENGINE INPUT: what embed/tests/consumer/outputs.c prints
IN_PYTHON = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from tipsc.runtime import Engine
with Engine.open(sys.argv[1]) as engine:
    x = np.fromfile(sys.argv[2], np.float32).reshape(engine.manifest.signature.inputs[0].shape)
    for path in engine.paths:
        sys.stdout.buffer.write(engine.run(x, path=path).tobytes())
"""


def emulated(arm64: Path) -> list[str]:
    """The command before that of a program for arm64."""
    emulator = str(arm64 / "emulator/usr/bin/qemu-aarch64")
    return [emulator, "-cpu", "cortex-a76", "-L", str(arm64 / "rootfs")]


def cross_built(folder: Path, arm64: Path, *, cpp: bool = False) -> Path:
    """embed/ for arm64, with the zlib of the userland; and tests/consumer/outputs.c as `outputs`.

    Args:
        folder: an empty one.
        arm64: the userland.
        cpp: also outputs.cpp, as `outputs_cpp`.
    """
    # Debian's header for one machine is that for the other; the userland has the library alone.
    headers = folder / "include"
    headers.mkdir()
    for name in ("zlib.h", "zconf.h"):
        seen = run(["cc", "-E", "-include", name, "-xc", "/dev/null"])
        (found,) = set(re.findall(rf'"(/[^"]*/{name})"', seen))
        (headers / name).write_bytes(Path(found).read_bytes())
    zlib = str(next(arm64.glob("rootfs/**/aarch64-linux-gnu/libz.so.1")).resolve())
    build = built(
        folder / "build",
        f"-DCMAKE_TOOLCHAIN_FILE={EMBED / 'cmake' / 'arm64.cmake'}",
        f"-DZLIB_LIBRARY={zlib}", f"-DZLIB_INCLUDE_DIR={headers}", "-DTIPSC_TESTS=ON",
    )  # fmt: skip
    compilers = [("gcc", "-std=c11", "outputs.c", "outputs")]
    if cpp:
        compilers.append(("g++", "-std=c++17", "outputs.cpp", "outputs_cpp"))
    for compiler, standard, source, program in compilers:
        command = [f"aarch64-linux-gnu-{compiler}", standard, f"-I{EMBED / 'include'}"]
        libraries = [str(build / "libtipsc.a"), zlib, "-lm"]
        file = str(EMBED / "tests" / "consumer" / source)
        run([*command, file, *libraries, "-o", str(build / program)])
    return build
