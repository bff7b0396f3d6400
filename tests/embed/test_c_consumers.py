"""Applications that find an installed libtipsc, by CMake and by pkg-config, in C and in C++."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from building import EMBED, missing_tools, run
from library import runtime_of_package

from tipsc.runtime import Engine


@pytest.fixture(scope="module")
def installed(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where libtipsc was installed."""
    folder = tmp_path_factory.mktemp("installed")
    run(["cmake", "--install", str(programs), "--prefix", str(folder)])
    return folder


@pytest.fixture(scope="module")
def consumers(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """embed/tests/consumer, built against it."""
    missing = missing_tools("c++")
    if missing:
        pytest.skip(f"no {missing}")
    folder = tmp_path_factory.mktemp("consumers")
    source = str(EMBED / "tests" / "consumer")
    run(["cmake", "-S", source, "-B", str(folder), f"-DCMAKE_PREFIX_PATH={installed}"])
    run(["cmake", "--build", str(folder)])
    return folder


def expected(engine_file: Path, image: np.ndarray) -> bytes:
    with Engine.open(engine_file) as engine:
        return b"".join(engine.run(image, path=path).tobytes() for path in engine.paths)


@pytest.mark.parametrize("program", ["c", "static", "cpp", "throwing"])
def test_an_application_gets_what_python_gets(
    consumers: Path, engine_file: Path, image: np.ndarray, program: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(image.tobytes())
    command = [str(consumers / f"outputs_{program}"), str(engine_file), runtime_of_package()]
    done = subprocess.run([*command, str(tmp_path / "x")], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected(engine_file, image)


def test_pkg_config_says_how_to_link(
    installed: Path, engine_file: Path, image: np.ndarray, tmp_path: Path
) -> None:
    if shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config")
    (folder,) = installed.rglob("pkgconfig")
    # The prefix is the one that was configured; an application sets it to where it installed.
    asked = ["pkg-config", f"--define-variable=prefix={installed}", "--cflags", "--libs", "tipsc"]
    flags = run(asked, env={**os.environ, "PKG_CONFIG_PATH": str(folder)}).split()
    program = tmp_path / "outputs"
    source = EMBED / "tests" / "consumer" / "outputs.c"
    run(["cc", str(source), "-o", str(program), *flags, f"-Wl,-rpath,{folder.parent}"])
    (tmp_path / "x").write_bytes(image.tobytes())
    command = [str(program), str(engine_file), runtime_of_package(), str(tmp_path / "x")]
    assert subprocess.run(command, capture_output=True).stdout == expected(engine_file, image)


def test_only_the_border_is_visible_and_the_library_is_small(
    library_file: Path, tmp_path: Path
) -> None:
    listed = run(["nm", "--dynamic", "--defined-only", str(library_file)]).split("\n")
    names = {line.split()[-1].split("@")[0] for line in listed if line}
    header = (EMBED / "include" / "tipsc.h").read_text()
    assert names and all(name.startswith("tipsc_") and name in header for name in names)
    stripped = tmp_path / "stripped.so"
    run(["strip", "-o", str(stripped), str(library_file)])
    assert stripped.stat().st_size < 300 * 1024
