"""libtipsc gets from engines for mobile-cpu, fp32 and int8, what Python gets, to the bit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Case
from tiny_paths import inputs_of

from tipsc.runtime import Engine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "embed"))

from building import built, missing_tools
from library import Library, runtime_of_litert


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    missing = missing_tools("cmake", "cc")
    if missing:
        pytest.skip(f"no {missing}: libtipsc is not built")
    return Library(built(tmp_path_factory.mktemp("libtipsc")) / "libtipsc.so")


@pytest.mark.parametrize("finalised", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_path_gives_what_python_gives(
    library: Library, precision: str, finalised: bool, images_case: Case, int8_engine: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / f"{precision}.tipsc"
    file.write_bytes((int8_engine if precision == "int8" else images_case.engine).read_bytes())
    x = np.ascontiguousarray(inputs_of(images_case.supernet, 1).numpy())
    with Engine.open(file, cache_dir=tmp_path / "form") as known:
        expected = {path.id: known.run(x, path=path) for path in known.paths}
    cache = tmp_path / ("form" if finalised else "none")
    with library.open(file, runtime=runtime_of_litert(), cache_dir=cache) as found:
        assert found.ids() == list(expected)
        for name, output in expected.items():
            assert np.array_equal(found.run([x], name)[0], output)
