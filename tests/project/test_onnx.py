"""A configuration that names an ONNX file: read, compared, converted; no labels are needed."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from tipsc.errors import ConversionError
from tipsc.from_onnx import OnnxModel
from tipsc.project.config import load_config
from tipsc.project.loading import load_model

YAML = """
name: toy
model: {onnx: model.onnx}
data: {callable: "data.py:load"}
"""
DATA = """
import torch
from tipsc.train import Unlabelled

def load():
    torch.manual_seed(1)
    return Unlabelled(*(torch.randn(n, WIDTH) for n in (12, 8, 8)))
"""


def project(folder: Path, width: int = 12) -> Path:
    """Two linear layers and an activation, as older exporters write them, for a batch of one."""
    torch.manual_seed(0)
    weights = {"1.weight": torch.randn(32, 12), "1.bias": torch.randn(32), "2": torch.randn(32, 5)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "1.weight", "1.bias"], ["a"], transB=1),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "2"], ["y"]),
        ],
        "toy",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 12])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(value.numpy(), name) for name, value in weights.items()],
    )
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / "model.onnx")
    (folder / "tipsc.yaml").write_text(YAML)
    (folder / "data.py").write_text(DATA.replace("WIDTH", str(width)))
    return folder


def test_a_file_is_converted_and_teaches_itself(tmp_path: Path) -> None:
    model = load_model(*load_config(project(tmp_path)))
    assert isinstance(model.original, OnnxModel)
    assert [choice.options for choice in model.supernet.space.choices] == [(8, 16, 24, 32)]
    x = model.data.train.inputs[:3]
    with torch.no_grad():
        expected = model.original(x)
        found = model.supernet(x, model.supernet.space.largest)
    assert torch.allclose(found, expected, atol=1e-5)
    assert {name for name, _ in model.original.named_parameters()} == {"1.weight", "1.bias", "2"}


def test_data_that_the_file_does_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"model.onnx: ONNX Runtime cannot run this file"):
        load_model(*load_config(project(tmp_path, width=11)))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ConversionError, match=r"model.onnx: this is no ONNX file.*No such file"):
        load_model(*load_config(tmp_path))
