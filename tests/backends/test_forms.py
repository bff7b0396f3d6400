"""An engine whose form is not its backend's is refused by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compile"))

from dataclasses import replace

from plain_tflite import engine_of, two_widths

from tipsc.backends import onnxruntime
from tipsc.compile.tflite.merge import merge
from tipsc.engine import read_engine, write_tflite_engine
from tipsc.errors import EngineDamagedError


def test_a_tflite_is_nothing_for_onnx_runtime(tmp_path: Path) -> None:
    model = merge(two_widths()).model
    file = engine_of(tmp_path / "a.tipsc", model, list(two_widths()))
    manifest = replace(read_engine(file).manifest, backend="onnxruntime")
    write_tflite_engine(tmp_path / "b.tipsc", manifest, model)
    with pytest.raises(EngineDamagedError, match=r"holds no graphs of ONNX \(got form tflite\)"):
        onnxruntime.open(read_engine(tmp_path / "b.tipsc"))
