"""An engine's .tflite needs nothing of tipsc, nor Python: a C program runs all its paths."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

import ai_edge_litert
import numpy as np
import pytest
from conftest import Case
from tiny_paths import inputs_of

from tipsc.backends.litert import in_order, open_model
from tipsc.engine import unpack

SOURCE = Path(__file__).with_name("run_signatures.c")
VERSION = importlib.metadata.version("ai-edge-litert")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, linked with the library of the wheel."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    if not VERSION.startswith("2.3."):
        pytest.skip(f"the program declares the C interface of LiteRT 2.3, not of {VERSION}")
    wheel = Path(ai_edge_litert.__file__).parent
    built = tmp_path_factory.mktemp("c") / "run_signatures"
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", str(SOURCE), "-o", str(built)]
    command += [f"-L{wheel}", "-l:libLiteRt.so", f"-Wl,-rpath,{wheel}"]
    subprocess.run(command, check=True)
    return built


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_c_program_computes_what_python_computes(
    precision: str, program: Path, images_case: Case, int8_engine: Path, tmp_path: Path
) -> None:
    engine = int8_engine if precision == "int8" else images_case.engine
    model, _ = unpack(engine, tmp_path / "out")
    x = in_order(inputs_of(images_case.supernet, 1).numpy(), (0, 2, 3, 1))
    (tmp_path / "x").write_bytes(x.tobytes())
    command = [str(program), str(model), str(tmp_path / "x")]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    found = {key: values for key, *values in map(str.split, told.stdout.splitlines())}
    python = open_model(model)
    assert set(found) == set(python.signatures()) == {c.path.id for c in images_case.candidates}
    for key, values in found.items():
        expected = python.runner(key)([x])[0]
        got = np.array(values, np.float32).reshape(expected.shape)
        assert np.array_equal(got, expected)  # nine digits give a float32 back exactly
