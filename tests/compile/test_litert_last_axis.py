"""Weights that are cut on their last axis share their bytes too, and compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from plain_tflite import SHAPE, convolutions

from tipsc.backends.litert import open_model
from tipsc.backends.litert_dense import densified
from tipsc.compile.tflite.last_axis import worth_turning
from tipsc.compile.tflite.merge import Merged, merge

WIDTHS = (48, 64, 16)
X = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def alone() -> dict[str, bytes]:
    """An inverted bottleneck at three inner widths; the biases are the paths' own."""
    generator = np.random.default_rng(0)
    expand = generator.standard_normal((64, 1, 1, 8))
    middle = generator.standard_normal((8, 3, 3, 64))
    return {
        f"w{width}": convolutions(
            [
                (expand[:width], generator.standard_normal(width)),
                (middle[..., :width], generator.standard_normal(8)),
            ]
        )
        for width in WIDTHS
    }


@pytest.fixture(scope="module")
def merged(alone: dict[str, bytes]) -> Merged:
    return merge(alone)


def operators(model: bytes) -> list[int]:
    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    codes = [code.builtinCode for code in parsed.operatorCodes]
    return [codes[op.opcodeIndex] for graph in parsed.subgraphs for op in graph.operators]


def test_all_but_the_biases_is_shared(merged: Merged, alone: dict[str, bytes]) -> None:
    weights = (64 * 8 + 8 * 9 * 64) * 4
    for width in WIDTHS:
        sizes = merged.sizes[f"w{width}"]
        assert (sizes.shared, sizes.private) == (weights * width // 64, (width + 8) * 4)
    widest = len(merge({"w64": alone["w64"]}).model)
    assert len(merged.model) < widest + 2 * 2048  # of graph, for each of the others


def test_each_path_computes_the_same(
    merged: Merged, alone: dict[str, bytes], tmp_path: Path
) -> None:
    shipped, opened = tmp_path / "shipped.tflite", tmp_path / "opened.tflite"
    shipped.write_bytes(merged.model)
    opened.write_bytes(densified(merged.model))
    stock = Interpreter(str(shipped))
    for path, content in alone.items():
        single = tmp_path / f"{path}.tflite"
        single.write_bytes(content)
        expected = open_model(single).runner("main")([X])[0]
        assert expected.any()
        for file in (shipped, opened):
            assert np.array_equal(open_model(file).runner(path)([X])[0], expected)
        assert np.array_equal(stock.get_signature_runner(path)(input=X)["output"], expected)


def test_what_is_opened_has_constants_only(merged: Merged, alone: dict[str, bytes]) -> None:
    densify = schema.BuiltinOperator.DENSIFY
    assert operators(merged.model).count(densify) == len(WIDTHS)
    assert densify not in operators(densified(merged.model))
    assert densified(alone["w64"]) == alone["w64"]


@given(st.integers(4, 24), st.integers(1, 3), st.lists(st.integers(2, 40), min_size=2, unique=True))
def test_cuts_of_the_last_axis_are_found_and_no_others(
    outputs: int, kernel: int, widths: list[int]
) -> None:
    full = np.random.default_rng(0).standard_normal((outputs, kernel, kernel, 40), np.float32)
    cuts = {width: full[..., :width] for width in widths}
    saved = (sum(widths) - max(widths)) * outputs * kernel**2 * 4
    found = worth_turning(cuts)
    # What is saved pays for the operation that turns the axes back, or nothing is turned.
    long_enough = all(cut.nbytes >= 64 for cut in cuts.values())
    if long_enough:
        assert set(found) == (set(cuts) if saved > 256 * len(cuts) else set())
    for width, content in found.items():
        back = np.frombuffer(content, np.float32).reshape(width, outputs, kernel, kernel)
        assert np.array_equal(np.moveaxis(back, 0, -1), cuts[width])
    first = {count: full[:count] for count in range(2, outputs + 1)}
    assert worth_turning(first) == {}
