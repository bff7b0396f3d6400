"""Engines of a .tflite through LiteRT in C: who may open them, and what comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from library import CError, Library, runtime_of_litert
from plain_tflite import SHAPE, engine_of, two_widths
from test_tflite_check import changed, later_input

from tipsc.compile.tflite.merge import merge
from tipsc.runtime import Engine

HEIGHT, WIDTH, CHANNELS = SHAPE[1:]


@pytest.fixture(scope="module")
def model() -> bytes:
    return merge(two_widths()).model


@pytest.fixture
def engine(model: bytes, tmp_path: Path) -> Path:
    return engine_of(tmp_path / "plain.tipsc", model, ["narrow", "wide"])


@pytest.fixture
def x() -> np.ndarray:
    shape = (1, CHANNELS, HEIGHT, WIDTH)
    return np.random.default_rng(3).standard_normal(shape, np.float32)


def test_a_tflite_is_checked_before_litert_sees_it(
    library: Library, model: bytes, tmp_path: Path
) -> None:
    bad = engine_of(tmp_path / "bad.tipsc", changed(model, later_input), ["narrow", "wide"])
    with pytest.raises(CError, match=r"subgraph 0.*reads a tensor that nothing wrote") as caught:
        library.open(bad, runtime=runtime_of_litert())
    assert caught.value.code == "damaged"


@pytest.mark.parametrize("finalised", [True, False])
def test_outputs_of_every_path_are_pythons(
    library: Library, engine: Path, x: np.ndarray, finalised: bool
) -> None:
    """With what Python finalised, or with what was checked here."""
    if finalised:
        Engine.open(engine).close()
    with library.open(engine, runtime=runtime_of_litert()) as found:
        outputs = {name: found.run([x], name)[0] for name in found.ids()}
    with Engine.open(engine) as known:
        for path in known.paths:
            assert np.array_equal(outputs[path.id], known.run(x, path=path))
    assert set(outputs) == {"narrow", "wide"}


def test_the_finalised_form_stays_as_it_was(library: Library, engine: Path, x: np.ndarray) -> None:
    Engine.open(engine).close()
    folder = engine.with_name(f"{engine.name}-cache")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with library.open(engine, runtime=runtime_of_litert()) as found:
        found.run([x], 0)
    assert before == {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_damaged_form_is_not_taken(library: Library, engine: Path, x: np.ndarray) -> None:
    Engine.open(engine).close()
    (packed,) = engine.with_name(f"{engine.name}-cache").glob("*/packed.xnnpack")
    packed.write_bytes(b"no weights")
    with library.open(engine, runtime=runtime_of_litert()) as found:
        (output,) = found.run([x], "wide")  # by the .tflite of the engine
    with Engine.open(engine) as known:
        assert np.array_equal(output, known.run(x, path="wide"))


def test_another_library_is_refused(library: Library, engine: Path) -> None:
    with pytest.raises(CError, match="it has no LiteRtCreateEnvironment"):
        library.open(engine)  # that of ONNX Runtime
