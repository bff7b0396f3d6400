"""libtipsc on emulated arm64: cross-compiled, and held against Python on the same machine.

Correctness only. ``make arm64`` prepares the userland; without it the tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from building import missing_tools, run
from crossing import IN_PYTHON, cross_built, emulated

from tipsc.runtime import Engine

ROOT = Path(__file__).parents[2]
ARM64 = Path(os.environ.get("TIPSC_ARM64", ROOT / ".arm64"))
VECTORS = ROOT / "tests" / "runtime" / "governor_vectors.json"
pytestmark = pytest.mark.skipif(
    not (ARM64 / "python3").exists(), reason="no emulated userland: make arm64 prepares one"
)
#: other kernels round otherwise; outputs here are of the order of 1
TOLERANCE = 1e-4
EMULATED = emulated(ARM64)


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = missing_tools("cmake", "aarch64-linux-gnu-gcc")
    if missing:
        pytest.skip(f"no {missing}")
    return cross_built(tmp_path_factory.mktemp("arm64"), ARM64)


def test_the_governor_decides_there_as_here(cross: Path) -> None:
    assert int(run([*EMULATED, str(cross / "vectors"), str(VECTORS)]).split()[0]) > 20


def test_hashes_by_its_own_instructions_are_right(cross: Path) -> None:
    first, second = run([*EMULATED, str(cross / "sha256")]).splitlines()
    assert first == second and first.endswith("fast")


@pytest.mark.parametrize("backend", ["onnxruntime", "litert"])
def test_every_path_gives_what_python_gives_there(
    cross: Path, engine_file: Path, image: np.ndarray, backend: str, tmp_path: Path
) -> None:
    """To the bit; and what it gives here, but for rounding."""
    pattern = "onnxruntime/capi/libonnxruntime.so.*"
    if backend == "litert":
        pytest.importorskip("ai_edge_litert.schema_py_generated")
        engine_file, image = _tflite(tmp_path / "two.tipsc")
        pattern = "ai_edge_litert/libLiteRt.so"
    (runtime,) = (ARM64 / "site").glob(pattern)
    (tmp_path / "x").write_bytes(image.tobytes())
    command = [*EMULATED, str(cross / "outputs"), str(engine_file), str(runtime)]
    done = subprocess.run([*command, str(tmp_path / "x")], capture_output=True)
    assert done.returncode == 0, done.stderr
    script = tmp_path / "outputs.py"
    script.write_text(IN_PYTHON)
    there = [str(ARM64 / "python3"), str(script), str(engine_file), str(tmp_path / "x")]
    known = subprocess.run(there, capture_output=True)
    assert known.returncode == 0, known.stderr
    assert done.stdout and done.stdout == known.stdout
    with Engine.open(engine_file) as engine:
        here = np.concatenate([engine.run(image, path=path).ravel() for path in engine.paths])
    np.testing.assert_allclose(np.frombuffer(done.stdout, np.float32), here, atol=TOLERANCE)


def _tflite(file: Path) -> tuple[Path, np.ndarray]:
    """An engine of two paths, and an input."""
    from plain_tflite import SHAPE, engine_of, two_widths

    from tipsc.compile.tflite.merge import merge

    height, width, channels = SHAPE[1:]
    x = np.random.default_rng(3).standard_normal((1, channels, height, width), np.float32)
    return engine_of(file, merge(two_widths()).model, ["narrow", "wide"]), x
