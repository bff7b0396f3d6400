"""Models of which an ONNX file is left: read as torch they are the same, for any batch."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import parser
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.errors import ConversionError
from tipsc.from_onnx import OnnxModel, operators, read_onnx

ONE_OPERATOR = {
    # operator set, attributes and further inputs; x is (1, 4, 6, 6) if nothing else is said
    "Squeeze, axes as an attribute": (11, "y = Squeeze <axes = [0]> (x)"),
    "Unsqueeze": (13, "a = Constant <value_ints = [0, 3]> () y = Unsqueeze (x, a)"),
    "Clip, limits as attributes": (9, "y = Clip <min = -0.5, max = 0.5> (x)"),
    "Clip to 6": (13, "a = Constant <value_float = 0.0> () b = Constant <value_float = 6.0> ()"
                      " y = Clip (x, a, b)"),
    "HardSigmoid": (13, "y = HardSigmoid <alpha = 0.3, beta = 0.4> (x)"),
    "LeakyRelu": (13, "y = LeakyRelu (x)"),
    "Gelu": (20, 'y = Gelu <approximate = "tanh"> (x)'),
    "Softmax over all that follows": (11, "y = Softmax <axis = 1> (x)"),
    "Softmax": (13, "y = Softmax <axis = 1> (x)"),
    "ReduceMean, axes as an attribute": (13, "y = ReduceMean <axes = [1], keepdims = 0> (x)"),
    "ReduceSum": (13, "a = Constant <value_ints = [2, 3]> () y = ReduceSum (x, a)"),
    "ReduceL2 over all": (13, "y = ReduceL2 (x)"),
    "CumSum": (14, "a = Constant <value_int = 2> () y = CumSum (x, a)"),
    "MaxPool with edges that differ": (
        12, "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 1, 1]> (x)"
    ),
    "MaxPool of any size": (
        12, 'y = MaxPool <kernel_shape = [2, 2], strides = [4, 4], auto_pad = "SAME_UPPER"> (x)'
    ),
    "AveragePool": (11, "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)"),
    "AveragePool with the edges": (11, "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2],"
                                       " pads = [0, 0, 1, 1], count_include_pad = 1> (x)"),
    "GlobalMaxPool": (13, "y = GlobalMaxPool (x)"),
    "Resize to nearest": (13, "s = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()"
                              " y = Resize <mode = \"nearest\"> (x, , s)"),
    "Resize, corners aligned": (
        13, "s = Constant <value_ints = [1, 4, 9, 7]> () y = Resize <mode = \"linear\","
            " coordinate_transformation_mode = \"align_corners\"> (x, , , s)"
    ),
    "Upsample": (9, "s = Constant <value = float[4] {1.0, 1.0, 2.0, 3.0}> () y = Upsample (x, s)"),
    "Pad, edges as an attribute": (
        9, "y = Pad <pads = [0, 0, 1, 2, 0, 0, 0, 1], value = 0.5> (x)"
    ),
    "Pad by reflection": (13, "p = Constant <value_ints = [0, 0, 1, 1, 0, 0, 1, 1]> ()"
                              " y = Pad <mode = \"reflect\"> (x, p)"),
    "Slice, borders as attributes": (9, "y = Slice <starts = [1], ends = [-1], axes = [2]> (x)"),
    "Slice backwards": (
        13, "s = Constant <value_ints = [-1]> () e = Constant <value_ints = [-9]> ()"
            " a = Constant <value_ints = [3]> () y = Slice (x, s, e, a, s)"
    ),
    "Split in equal parts": (11, "y, b = Split <axis = 1> (x)"),
    "Gather of one": (13, "i = Constant <value_int = 2> () y = Gather <axis = 1> (x, i)"),
    "Transpose of all": (13, "y = Transpose (x)"),
    "Flatten": (13, "y = Flatten (x)"),
    "Tile": (13, "r = Constant <value_ints = [1, 2, 1, 1]> () y = Tile (x, r)"),
    "Trilu": (14, "y = Trilu <upper = 0> (x)"),
    "DepthToSpace": (13, 'y = DepthToSpace <blocksize = 2, mode = "CRD"> (x)'),
    "integers divided": (13, "t = Constant <value_float = 9.0> () m = Mul (x, t)"
                             " i = Cast <to = 7> (m) a = Constant <value_int = 4> ()"
                             " d = Div (i, a) y = Cast <to = 1> (d)"),
    "constants divided": (
        13, "a = Constant <value_ints = [-7, 9]> () b = Constant <value_int = 2> ()"
            " d = Div (a, b) f = Cast <to = 1> (d) s = ReduceSum <keepdims = 0> (f) y = Add (x, s)"
    ),
    "a range of a size": (15, "s = Shape <start = 2, end = 3> (x) n = Squeeze (s)"
                              " a = Constant <value_int = 0> () o = Constant <value_int = 1> ()"
                              " r = Range (a, n, o) f = Cast <to = 1> (r) y = Mul (x, f)"),
    "ArgMax": (13, "i = ArgMax <axis = 1> (x) f = Cast <to = 1> (i) y = Add (x, f)"),
    "Where": (13, "o = Constant <value_float = 0.1> () c = Greater (x, o) y = Where (c, x, o)"),
    "Pow": (13, "e = Constant <value_float = 2.0> () y = Pow (x, e)"),
    "Einsum": (13, 'y = Einsum <equation = "nchw,nchv->ncwv"> (x, x)'),
}  # fmt: skip


def file_of(folder: Path, nodes: str, version: int = 13) -> Path:
    text = f"""
        <ir_version: 8, opset_import: ["" : {version}]>
        graph (float[1, 4, 6, 6] x) => (float y) {{ {nodes} }}
    """
    file = folder / "model.onnx"
    onnx.save(parser.parse_model(text), file)
    return file


@pytest.mark.parametrize("name", ONE_OPERATOR)
def test_an_operator_is_that_of_onnx_runtime(name: str, tmp_path: Path) -> None:
    version, nodes = ONE_OPERATOR[name]
    torch.manual_seed(0)
    read_onnx(file_of(tmp_path, nodes, version)).check(torch.randn(1, 4, 6, 6))


def test_a_file_that_is_read_wrongly_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = read_onnx(file_of(tmp_path, "y = Relu (x)"))
    wrong = {**operators.OPERATORS, "Relu": lambda node, x: torch.clamp(x, 0, 1)}
    monkeypatch.setattr("tipsc.from_onnx.module.OPERATORS", wrong)
    with pytest.raises(ConversionError, match=r"output y: .* something else than ONNX Runtime"):
        model.check(torch.full((1, 4, 6, 6), 2.0))


CUBIC = """
    s = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()
    y = Resize <mode = "cubic", cubic_coeff_a = -0.5> (x, , s)
"""


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("y = Hardmax (x)", r"node y \(Hardmax, operator set 13\).*no such operator"),
        (CUBIC, r"node y \(Resize.*cubic interpolation"),
        ("n = NonZero (x) y = Cast <to = 1> (n)", r"node n \(NonZero"),
        ("s = Cast <to = 7> (x) y = Tile (x, s)", r"Tile.*follows the values in a tensor"),
    ],
)
def test_a_node_that_cannot_be_read_is_named(nodes: str, message: str, tmp_path: Path) -> None:
    model = read_onnx(file_of(tmp_path, nodes))
    with pytest.raises(ConversionError, match=message):
        model(torch.randn(1, 4, 6, 6))


def test_operators_of_others_are_refused_before_anything_runs(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 13, "com.microsoft" : 1]>
        graph (float[1, 4] x) => (float y) { y = com.microsoft.Gelu (x) }
    """
    onnx.save(parser.parse_model(text), tmp_path / "model.onnx")
    with pytest.raises(ConversionError, match=r"node y \(Gelu.*an operator of com.microsoft"):
        read_onnx(tmp_path / "model.onnx")


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07garbage")
    with pytest.raises(ConversionError, match=r"model.onnx: this is no ONNX file"):
        read_onnx(tmp_path / "model.onnx")


class Attention(nn.Module):
    """Convolutions and norms, then heads that are split and joined by reshapes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.pack, self.join = nn.Linear(16, 48), nn.Linear(16, 16)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)
        self.inner = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).flatten(2).transpose(1, 2)
        batch, places, width = x.shape
        packed = self.pack(self.norm(x)).reshape(batch, places, 3, 4, 4).permute(2, 0, 3, 1, 4)
        query, key, value = packed.unbind(0)
        seen = torch.softmax(query @ key.transpose(-2, -1) / 2, -1) @ value
        x = x + self.join(seen.transpose(1, 2).reshape(batch, places, width))
        return self.head((x + self.inner(x)).mean(1))


@pytest.mark.parametrize("any_batch", [True, False])
def test_an_exported_model_is_itself_again(any_batch: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, file = Attention().eval(), tmp_path / "model.onnx"
    x = torch.randn(2 if any_batch else 1, 3, 8, 8)
    shapes = ({0: torch.export.Dim("batch")},) if any_batch else None
    torch.onnx.export(model, (x,), file, dynamo=True, dynamic_shapes=shapes, verbose=False)
    read = read_onnx(file)
    assert isinstance(read, OnnxModel)
    read.check(x[:1])
    more = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(read(more), model(more), atol=1e-5)
    found, wanted = convert(read, more), convert(model, more)
    assert found.signature.inputs[0].name == "image"
    assert [c.options for c in found.space.choices] == [c.options for c in wanted.space.choices]
    assert found.report.smallest[0] == wanted.report.smallest[0]  # MACs
    with torch.no_grad():
        assert torch.allclose(found(more, found.space.largest), model(more), atol=1e-5)
