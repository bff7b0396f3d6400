"""Kotlin gets from engines for mobile-cpu, fp32 and int8, what Python gets, to the bit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Case
from tiny_paths import inputs_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "embed"))

from kotlin_program import Program, build_program, outputs_in_python
from library import runtime_of_litert


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return build_program(tmp_path_factory.mktemp("kotlin"))


@pytest.mark.parametrize("finalised", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_path_gives_what_python_gives(
    program: Program, precision: str, finalised: bool, images_case: Case, int8_engine: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """With what Python finalised, or with what libtipsc checked."""
    file = tmp_path / f"{precision}.tipsc"
    file.write_bytes((int8_engine if precision == "int8" else images_case.engine).read_bytes())
    x = np.ascontiguousarray(inputs_of(images_case.supernet, 1).numpy())
    inputs = {candidate.path.id: [x] for candidate in images_case.candidates}
    expected = outputs_in_python(file, inputs, tmp_path / "form")
    cache = tmp_path / ("form" if finalised else "none")
    found = program.outputs("outputs", file, runtime_of_litert(), cache, tmp_path, inputs)
    assert found == expected and len(found) == 3
